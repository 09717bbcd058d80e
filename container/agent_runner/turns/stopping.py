"""Watches for an administrator's `/stop` while a turn runs, and aborts the turn."""

from contextlib import suppress

import trio
from attrs import define, field

from agent_runner import outbound
from agent_runner.commands.base import is_admin
from agent_runner.errors import RunnerError
from agent_runner.inbound import Candidate
from agent_runner.polling import fetch, scan, wait_for_change
from agent_runner.records import Inbound
from agent_runner.session import Session

PAUSE = 0.2
"""Seconds between two looks. A turn that ends before the first one costs none."""


@define(eq=False)
class _Stops:
    """Takes the rows that call `/stop`."""

    ids: list[str] = field(factory=list, init=False)
    closed: bool = field(default=False, init=False)

    def offer(self, row: Candidate) -> None:
        """Consider the next row."""
        if row.call and row.call.name == "stop" and not row.tries:
            self.ids.append(row.id)


@define(eq=False)
class StopWatch:
    """Cancels `scope` when an administrator stops the turn. Others are refused in a turn of their own."""

    _session: Session
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    stopped_by: Inbound | None = field(default=None, init=False)
    """The message with the command. Nobody has claimed it."""

    async def run(self) -> None:
        """Look at each commit of the host, until one stops the turn."""
        while True:
            await trio.sleep(PAUSE)
            seen = self._session.changes.count
            with suppress(RunnerError):  # the loop reports it
                self.stopped_by = await self._look()
            if self.stopped_by is not None:
                self.scope.cancel()
                return
            await wait_for_change(self._session, seen, None)

    async def _look(self) -> Inbound | None:
        picker = _Stops()
        await scan(self._session, picker, outbound.unclaimed)
        if not picker.ids:
            return None
        fetched = await fetch(self._session, picker.ids)
        return next((row for row in fetched.messages if is_admin(self._session, row)), None)
