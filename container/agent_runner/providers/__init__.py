"""The agent behind the runner: what a provider is, what it is given, and how it is found by name."""

from agent_runner.providers.context import EventLog, ProviderContext, SessionState
from agent_runner.providers.discovery import load
from agent_runner.providers.http import HttpClient, HttpClients, HttpResponse
from agent_runner.providers.protocol import Provider, SimpleProvider, TurnHandler
from agent_runner.providers.toolbox import Tool, Toolbox, ToolRegistry, ToolSpec

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
]
