"""Providers: their protocol, their context, and finding one by its name."""

from agent_runner.providers.context import EventLog, ProviderContext, SessionState
from agent_runner.providers.discovery import load
from agent_runner.providers.http import HttpClient, HttpClients, HttpResponse
from agent_runner.providers.protocol import Provider, SimpleProvider, TurnHandler
from agent_runner.providers.toolbox import Tool, Toolbox, ToolRegistry, ToolSpec
from agent_runner.providers.variables import variable

__all__ = [
    "EventLog",
    "HttpClient",
    "HttpClients",
    "HttpResponse",
    "Provider",
    "ProviderContext",
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
