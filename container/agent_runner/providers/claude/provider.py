"""The provider: opens what Claude Code needs, and hands turns to it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from attrs import frozen

from agent_runner.errors import ProviderError
from agent_runner.providers.context import ProviderContext
from agent_runner.providers.protocol import TurnHandler
from agent_runner.sockets.forwarder import open_forwarder

ABSENT = "Claude Code is not installed; run `pip install 'nanoclaw[claude]'` where the runner runs"
NO_GATEWAY = "this runner has no model gateway (NANOCLAW_MODEL_SOCKET), so Claude Code cannot reach its model"


@frozen
class Claude:
    """The provider named `claude`."""

    name: str = "claude"
    runs_mcp_servers: bool = True

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncGenerator[TurnHandler]:
        """Open the forwarder. Claude Code itself starts with the first turn. Raises ProviderError."""
        if find_spec("claude_agent_sdk") is None:
            raise ProviderError(ABSENT)
        if context.model_socket is None:
            raise ProviderError(NO_GATEWAY)
        from agent_runner.providers.claude.handler import ClaudeHandler  # noqa: PLC0415 -- loads the SDK, 0.5 s

        async with open_forwarder(context.model_socket) as forwarder:
            handler = ClaudeHandler(context, forwarder)
            try:
                yield handler
            finally:
                await handler.aclose()


def create() -> Claude:
    """Make the provider, for `providers.load`."""
    return Claude()
