"""The toolbox of one turn: checks calls, shows the running tool to the host, records outcomes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from agent_runner import events
from agent_runner.errors import InboundUnavailableError, ToolError
from agent_runner.events import RunningTool
from agent_runner.heartbeat import Activity
from agent_runner.providers import Tool, ToolSpec
from agent_runner.providers.toolbox import ShownFile
from agent_runner.records import Inbound
from agent_runner.store import Connection
from agent_runner.tools.base import ToolContext
from agent_runner.tools.registry import SessionTools
from agent_runner.turns.follow_ups import next_follow_ups


@define
class _Outcome:
    """The outcome of a call, for its event."""

    text: str = "done"


@define(eq=False)
class TurnToolbox:
    """Implements `agent_runner.providers.Toolbox`."""

    _tools: SessionTools
    _context: ToolContext
    _activity: Activity
    _running: list[RunningTool] = field(factory=list, init=False)

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools that can be called now."""
        return self._tools.specs

    def take_shown(self) -> Sequence[ShownFile]:
        """Return the files that tools have shown since it was called before."""
        shown, self._context.turn_state.shown = self._context.turn_state.shown, []
        return shown

    def draft(self, text: str) -> None:
        """Show the text so far of the final answer. Raises TypeError if it is not text."""
        if not isinstance(text, str):
            raise TypeError(f"a draft must be text, got {type(text).__name__}")
        self._activity.note()
        self._context.session.drafts.show(self._context.turn, text)

    def alive(self) -> None:
        """Report progress."""
        self._activity.note()

    async def follow_ups(self) -> Sequence[Inbound]:
        """Wait for messages that arrived since the turn began, and claim them for it."""
        context = self._context
        return await next_follow_ups(context.session, context.turn, context.turn_state)

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Call a tool. Raises ToolError with a message for the agent."""
        tool = self._tools.find(name, self._context)
        self._tools.check(name, arguments)
        limit = tool.declared(arguments)
        async with self._running_shown(tool, limit):
            return await _run(tool, limit, arguments)

    async def perform(self, tool: Tool) -> str:
        """Run a tool that the provider does not see. Its outcome is in its event. Raises ToolError."""
        async with self._running_shown(tool, tool.timeout) as outcome:
            result = await _run(tool, tool.timeout, {})
            outcome.text = result
        return result

    @asynccontextmanager
    async def _running_shown(self, tool: Tool, limit: float) -> AsyncGenerator["_Outcome"]:
        running = RunningTool(tool.spec.name, limit, self._context.session.seams.clock.now())
        self._running.append(running)
        self._activity.running_tools += 1
        outcome, failure = _Outcome(), None
        try:
            await self._show("tool started", running)
            yield outcome
        except ToolError as error:
            outcome.text, failure = str(error), error
        finally:
            self._running.remove(running)
            self._activity.running_tools -= 1
            self._activity.note()
        await self._show("tool ended", running, outcome=outcome.text)
        if failure is not None:
            raise failure

    async def _show(self, kind: events.Kind, tool: RunningTool, **data: object) -> None:
        session, turn_id = self._context.session, self._context.turn.turn_id
        now = session.seams.clock.now()
        shown = max(self._running, key=lambda running: running.timeout, default=None)

        def change(connection: Connection) -> None:
            if shown is None:
                events.hide_tool(connection)
            else:
                events.show_tool(connection, shown, now)
            events.record(connection, now, kind, turn_id=turn_id, tool=tool.name, **data)

        await session.outbound.write(change)


async def _run(tool: Tool, limit: float, arguments: Mapping[str, object]) -> str:
    try:
        with trio.fail_after(limit):
            return await tool.run(arguments)
    except trio.TooSlowError as error:
        raise ToolError(f"{tool.spec.name} took longer than {limit:.0f} s") from error
    except InboundUnavailableError as error:
        raise ToolError("the host does not answer now; try again later") from error
