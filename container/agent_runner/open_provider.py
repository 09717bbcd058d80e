"""Opens the provider for the whole run of a runner, and tells its errors from the runner's own."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from math import inf
from types import MappingProxyType
from typing import Literal, NoReturn

import trio
from attrs import Factory, field, frozen

from agent_runner import events
from agent_runner.errors import ProviderClosedError, ProviderError, ProviderOpenError, RunnerError
from agent_runner.foreign import describe, foreign_code
from agent_runner.providers import ProviderContext, Toolbox, TurnHandler
from agent_runner.providers.variables import with_advice
from agent_runner.records import Turn
from agent_runner.session import Session
from agent_runner.session_state import StoredState
from agent_runner.sockets.tools import ToolSocket, tool_socket_path
from agent_runner.tools import TOOLS
from agent_runner.tools.base import BuiltinTool
from agent_runner.tools.registry import SessionTools

OPEN_TIMEOUT = 120.0
"""Time limit of opening in seconds. Without it, a hanging provider would block all messages."""
CLOSE_TIMEOUT = 10.0
"""Time limit of closing in seconds. Without it, a hanging provider would block the runner's exit."""


Stage = Literal["opening", "open", "closing"]


@frozen
class OpenProvider:
    """A provider that is open, and the tools it may call."""

    handler: TurnHandler
    tools: SessionTools = field(factory=lambda: SessionTools(lambda: TOOLS))
    socket: ToolSocket = field(
        init=False, default=Factory(lambda self: ToolSocket(self.tools), takes_self=True)
    )
    """Takes calls of other programs of the sandbox, where there is one."""


@asynccontextmanager
async def open_provider(session: Session) -> AsyncGenerator[OpenProvider]:
    """Open the session's provider. It is closed however the block ends.

    An error of the block is raised unchanged. It does not pass through the provider, whose nurseries would
    put it into a group. Raises ProviderOpenError, or ProviderClosedError if it ends before the block.
    """
    tools = SessionTools(lambda: _builtin_tools(session))
    failure: Exception | None = None
    stage: Stage = "opening"
    try:
        with (
            trio.CancelScope(deadline=trio.current_time() + OPEN_TIMEOUT) as scope,
            foreign_code(RunnerError, ProviderError, Exception),
        ):
            async with session.seams.provider.open(_context(session, tools)) as handler:
                scope.deadline = inf
                _check_handler(handler)
                stage = "open"
                try:
                    yield OpenProvider(handler, tools)
                except Exception as error:  # noqa: BLE001 -- raised again below, outside the provider
                    failure = error
                stage, scope.deadline = "closing", trio.current_time() + CLOSE_TIMEOUT
    except Exception as error:
        if failure is None:
            raise _translated(session, error, stage) from error
        session.seams.log("provider.close_failed", level="error", reason=_summary(error))
    if failure is not None:
        raise failure
    if stage != "closing":
        raise _ended_early(session, stage)


def _builtin_tools(session: Session) -> Mapping[str, BuiltinTool]:
    """Return the tools of the runner. Without a sandbox, an agent has chat tools only."""
    if not session.config.sandboxed:
        return TOOLS
    from agent_runner.tools.sandboxed import ALL_TOOLS  # noqa: PLC0415 -- only sandboxes need it

    return ALL_TOOLS


def _context(session: Session, tools: SessionTools) -> ProviderContext:
    seams, config = session.seams, session.config
    return ProviderContext(
        state=StoredState(session.outbound, seams.clock),
        tools=tools,
        events=events.StoredEvents(session.outbound, seams.clock, session.usage),
        http=seams.http,
        clock=seams.clock,
        workspace=config.workspace,
        shared=config.shared,
        inbound=config.inbound_db.parent,
        outbound=config.outbound_db.parent,
        sandboxed=config.sandboxed,
        model=config.model,
        model_settings=MappingProxyType(dict(config.model_settings)),
        new_id=seams.new_id,
        notes=session.notes,
        files=session.files,
        model_socket=config.model_socket,
        tools_socket=tool_socket_path(config),
        mcp_servers=config.mcp_servers if config.sandboxed else {},
        tool_servers=session.tool_servers,
    )


def _check_handler(handler: object) -> None:
    """Raise TypeError unless the handler can take turns. Other people write providers."""
    if not callable(getattr(handler, "run", None)):
        raise TypeError(f"open() yielded {type(handler).__name__}, which has no method `run`")


def _ended_early(session: Session, stage: Stage) -> RunnerError:
    """Return the error for a provider that was cancelled, by the time limit or by itself."""
    name = session.seams.provider.name
    if stage == "opening":
        return ProviderOpenError(f"provider {name!r} did not open within {OPEN_TIMEOUT:.0f} s")
    return ProviderClosedError(f"provider {name!r} ended before its runner")


def _translated(session: Session, error: Exception, stage: Stage) -> RunnerError:
    """Return the runner's error for an error of the provider."""
    if isinstance(error, RunnerError):  # the session failed while the provider used it
        return error
    name, reason = session.seams.provider.name, _summary(error)
    if stage != "opening":
        return ProviderClosedError(f"provider {name!r} failed outside of its turns: {reason}")
    retry_at = error.retry_at if isinstance(error, ProviderError) else None
    return ProviderOpenError(f"provider {name!r} cannot be opened: {reason}", retry_at)


def _summary(error: Exception) -> str:
    return with_advice(str(error) if isinstance(error, ProviderError) else describe(error))


# -- when it cannot be opened ------------------------------------------------------


@frozen
class Unopened:
    """Replaces a provider that could not be opened. It releases each turn with the reason."""

    error: ProviderOpenError

    async def run(self, turn: Turn, tools: Toolbox, /) -> NoReturn:
        """Raise ProviderError."""
        del turn, tools
        await trio.lowlevel.checkpoint()
        raise ProviderError(str(self.error), self.error.retry_at)

    async def compact(self) -> NoReturn:
        """Raise ProviderError."""
        await trio.lowlevel.checkpoint()
        raise ProviderError(str(self.error), self.error.retry_at)


def unopened(error: ProviderOpenError) -> OpenProvider:
    """Return the replacement of a provider that could not be opened."""
    return OpenProvider(Unopened(error))
