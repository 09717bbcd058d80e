"""The loop: look, take a turn, look again; sleep until something may have changed."""

from datetime import datetime

import trio
from attrs import Factory, define, field, frozen

from agent_runner import inbound, outbound
from agent_runner.config import RunnerConfig
from agent_runner.errors import InboundUnavailableError
from agent_runner.pruning import Pruner
from agent_runner.seams import Seams, Wakeup
from agent_runner.selection import Batch, Selection
from agent_runner.session import Session, open_session
from agent_runner.turn import take_turn

PAUSE_WITHOUT_HOST = 1.0


async def run_runner(config: RunnerConfig, seams: Seams) -> None:
    """Serve one session until cancelled, which may happen at any checkpoint: nothing is written after it.

    Raises RunnerError (OwnerError, NewerDatabaseError, StoreBusyError, DatabaseError) and OSError: whoever
    started the runner starts it again, and it goes on from what is committed.
    """
    async with open_session(config, seams) as session, seams.wakeups.open(config.inbound_db.parent) as wakeup:
        seams.log("runner.started", provider=seams.provider.name)
        await _Loop(session, wakeup).run()


@frozen
class _Look:
    """What a look found. `next_due` is known only where there is no batch."""

    batch: Batch | None
    next_due: datetime | None


@define(eq=False)
class _Loop:
    session: Session
    wakeup: Wakeup
    _horizon: int | None = field(default=None, init=False)
    """The largest number at the first look; None before it."""
    _waits_for_host: bool = field(default=False, init=False)
    _pruner: Pruner = field(init=False, default=Factory(lambda self: Pruner(self.session), takes_self=True))

    async def run(self) -> None:
        while True:
            try:
                await self._round()
            except InboundUnavailableError as error:
                await self._wait_for_host(error)

    async def _round(self) -> None:
        look = await self._look()
        await self.session.outbox.tidy(self.session.host)
        self._waits_for_host = False
        if look.batch is not None:
            await take_turn(self.session, look.batch)
        elif not await self._pruner.step():
            await self._sleep(look.next_due)

    async def _look(self) -> _Look:
        horizon = await self._first_horizon()
        selection = Selection(self.session.seams.clock.now(), horizon)
        after = 0
        while not selection.closed:
            page = await self.session.host.read(lambda connection: inbound.open_rows(connection, after))  # noqa: B023 -- read at once
            for row in await self.session.own.read(lambda connection: outbound.unsettled(connection, page)):  # noqa: B023 -- likewise
                selection.offer(row)
            if len(page) < inbound.PAGE:
                break
            after = page[-1].seq
        return _Look(selection.batch(), selection.next_due)

    async def _first_horizon(self) -> int:
        if self._horizon is None:
            self._horizon = await self.session.host.read(inbound.largest_seq)
        return self._horizon

    async def _sleep(self, next_due: datetime | None) -> None:
        slow_poll = self.session.config.slow_poll
        delay = slow_poll
        if next_due is not None:
            delay = (next_due - self.session.seams.clock.now()).total_seconds()
        with trio.move_on_after(max(0.0, min(delay, slow_poll))):
            await self.wakeup.wait()

    async def _wait_for_host(self, error: InboundUnavailableError) -> None:
        if not self._waits_for_host:
            self.session.seams.log("inbound.unavailable", level="warning", reason=str(error))
        self._waits_for_host = True
        with trio.move_on_after(PAUSE_WITHOUT_HOST):
            await self.wakeup.wait()
