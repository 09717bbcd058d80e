"""The tools an agent has in its container: one module a tool, each a `Tool` of `agent_runner.tools.base`."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from agent_runner import events
from agent_runner.errors import InboundUnavailableError, ToolError
from agent_runner.events import RunningTool
from agent_runner.extras import Extras
from agent_runner.follow_ups import next_follow_ups
from agent_runner.heartbeat import Pulse
from agent_runner.providers import ToolSpec
from agent_runner.records import Address, Inbound, Turn
from agent_runner.session import Session
from agent_runner.store import Connection
from agent_runner.tools import (
    add_reaction,
    ask_user_question,
    cancel_task,
    edit_message,
    list_tasks,
    pause_task,
    resume_task,
    schedule_task,
    send_file,
    send_message,
    update_task,
)
from agent_runner.tools.arguments import check
from agent_runner.tools.base import Bench, Tool

TOOLS: Mapping[str, Tool] = {
    module.TOOL.spec.name: module.TOOL
    for module in (
        send_message,
        send_file,
        edit_message,
        add_reaction,
        ask_user_question,
        schedule_task,
        list_tasks,
        cancel_task,
        pause_task,
        resume_task,
        update_task,
    )
}


@define(eq=False)
class Tools:
    """The toolbox of one turn: checks calls, tells the host which tool runs, records what came of it."""

    _session: Session
    _turn: Turn
    _routing: Address | None
    _pulse: Pulse
    _extras: Extras
    _running: list[RunningTool] = field(factory=list, init=False)

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools there are."""
        return [tool.spec for tool in TOOLS.values()]

    def alive(self) -> None:
        """Note that the provider gets on."""
        self._pulse.alive()

    async def follow_ups(self) -> Sequence[Inbound]:
        """Wait for messages that came since the turn began, and take them into it; for ever, if none come."""
        return await next_follow_ups(self._session, self._turn, self._extras)

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Call a tool. Raises ToolError with a message for the agent."""
        tool = _find(name)
        check(tool.spec.parameters, arguments)
        limit = tool.declared(arguments)
        async with self._running_shown(tool, limit):
            return await self._run(tool, limit, arguments)

    async def _run(self, tool: Tool, limit: float, arguments: Mapping[str, object]) -> str:
        bench = Bench(self._session, self._turn, self._routing, self._extras)
        try:
            with trio.fail_after(limit):
                return await tool.run(bench, arguments)
        except trio.TooSlowError as error:
            raise ToolError(f"{tool.spec.name} took longer than {limit:.0f} s") from error
        except InboundUnavailableError as error:
            raise ToolError("the host does not answer at the moment; try again later") from error

    @asynccontextmanager
    async def _running_shown(self, tool: Tool, limit: float) -> AsyncGenerator[None]:
        running = RunningTool(tool.spec.name, limit, self._session.seams.clock.now())
        self._running.append(running)
        self._pulse.tools += 1
        outcome = "done"
        try:
            await self._show("tool started", running)
            yield
        except ToolError as error:
            outcome = str(error)
            raise
        finally:
            self._running.remove(running)
            self._pulse.tools -= 1
            self._pulse.alive()
        await self._show("tool ended", running, outcome=outcome)

    async def _show(self, kind: events.Kind, tool: RunningTool, **data: object) -> None:
        now = self._session.seams.clock.now()
        shown = max(self._running, key=lambda running: running.timeout, default=None)

        def change(connection: Connection) -> None:
            events.show_tool(connection, shown)
            events.record(connection, now, kind, turn_id=self._turn.turn_id, tool=tool.name, **data)

        await self._session.own.write(change)


def _find(name: str) -> Tool:
    if name not in TOOLS:
        raise ToolError(f"there is no tool {name!r}; there are: {', '.join(sorted(TOOLS))}")
    return TOOLS[name]
