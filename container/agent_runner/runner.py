"""The loop: look, take a turn, look again; sleep until something may have changed."""

from datetime import datetime

import trio
from attrs import Factory, define, field, frozen

from agent_runner import inbound, outbound
from agent_runner.config import RunnerConfig
from agent_runner.errors import InboundUnavailableError
from agent_runner.looking import rest, survey
from agent_runner.pruning import Pruner
from agent_runner.seams import Seams
from agent_runner.selection import Batch, Selection
from agent_runner.session import Session, open_session
from agent_runner.turn import take_turn

PAUSE_WITHOUT_HOST = 1.0


async def run_runner(config: RunnerConfig, seams: Seams) -> None:
    """Serve one session until cancelled, which may happen at any checkpoint: nothing is written after it.

    Raises RunnerError (OwnerError, NewerDatabaseError, StoreBusyError, DatabaseError) and OSError: whoever
    started the runner starts it again, and it goes on from what is committed.
    """
    async with open_session(config, seams) as session:
        seams.log("runner.started", provider=seams.provider.name)
        await _Loop(session).run()


@frozen
class _Look:
    """What a look found; `whole` where it has seen all that is open, and so knows what is due next."""

    batch: Batch | None
    next_due: datetime | None
    whole: bool


@define(eq=False)
class _Loop:
    session: Session
    _seen: int = field(default=0, init=False)
    """The host's commits that the last look has seen."""
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
        self._seen = self.session.changes.count
        look = await self._look()
        await self.session.outbox.tidy(self.session.host)
        self._waits_for_host = False
        if look.batch is not None:
            await take_turn(self.session, look.batch)
            if not look.whole or self.session.changes.count > self._seen:
                return
            # Nothing has come meanwhile that another look would find.
        if not await self._pruner.step():
            await rest(self.session, self._seen, look.next_due)

    async def _look(self) -> _Look:
        horizon = await self._first_horizon()
        selection = Selection(self.session.seams.clock.now(), horizon)
        await survey(self.session, selection)
        return _Look(selection.batch(), selection.next_due, whole=not selection.closed)

    async def _first_horizon(self) -> int:
        if self._horizon is None:
            await self._let_go()
            self._horizon = await self.session.host.select(inbound.largest_seq)
        return self._horizon

    async def _let_go(self) -> None:
        """What the runner before this one had claimed is nobody's: a claim is what this one works on."""
        if await self.session.own.read(outbound.are_claims_left):
            await self.session.own.write(outbound.let_go)

    async def _wait_for_host(self, error: InboundUnavailableError) -> None:
        if not self._waits_for_host:
            self.session.seams.log("inbound.unavailable", level="warning", reason=str(error))
        self._waits_for_host = True
        with trio.move_on_after(PAUSE_WITHOUT_HOST):
            await self.session.changes.after(self._seen)
