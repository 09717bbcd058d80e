"""Providers: their protocol, their context, and finding one by its name."""

from agent_runner.providers.context import EventLog, ProviderContext, SessionState
from agent_runner.providers.discovery import load
from agent_runner.providers.http import HttpClient, HttpClients, HttpResponse
from agent_runner.providers.model_settings import ModelSettings
from agent_runner.providers.protocol import (
    Compacting,
    Forgetting,
    Provider,
    RunsMcpServers,
    SimpleProvider,
    TurnHandler,
)
from agent_runner.providers.toolbox import Tool, Toolbox, ToolRegistry, ToolSpec
from agent_runner.providers.variables import variable

__all__ = [
    "Compacting",
    "EventLog",
    "Forgetting",
    "HttpClient",
    "HttpClients",
    "HttpResponse",
    "ModelSettings",
    "Provider",
    "ProviderContext",
    "RunsMcpServers",
    "SessionState",
    "SimpleProvider",
    "Tool",
    "ToolRegistry",
    "ToolSpec",
    "Toolbox",
    "TurnHandler",
    "load",
    "variable",
]
