"""The loop of a runner: poll for due rows, take a turn, poll again; sleep until something may change."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import trio
from attrs import Factory, define, field, frozen

from agent_runner import inbound, outbound
from agent_runner.config import RunnerConfig
from agent_runner.errors import InboundUnavailableError, ProviderOpenError
from agent_runner.open_provider import OpenProvider, open_provider, unopened
from agent_runner.polling import scan, wait_for_change
from agent_runner.providers import ToolRegistry
from agent_runner.pruning import Pruner
from agent_runner.seams import Seams
from agent_runner.session import Session, open_session
from agent_runner.sockets.tools import serve_tools
from agent_runner.turns.selection import Batch, Selection
from agent_runner.turns.turn import take_turn

PAUSE_WITHOUT_HOST = 1.0


async def run_runner(config: RunnerConfig, seams: Seams) -> None:
    """Serve one session until cancelled. Nothing is written after a cancellation.

    Raises RunnerError (OwnerError, NewerDatabaseError, StoreBusyError, DatabaseError, ProviderOpenError,
    ProviderClosedError) and OSError. A new runner continues from the committed state.
    """
    async with open_session(config, seams) as session:
        seams.log("runner.started", provider=seams.provider.name)
        await _release_stale_claims(session)
        try:
            async with (
                open_provider(session) as provider,
                serve_tools(session.config, provider.socket, session.seams.log),
                _mcp_servers(session, provider.tools),
            ):
                await _Loop(session, provider).run()
        except ProviderOpenError as error:
            await _Loop(session, unopened(error)).run_once()
            raise


@asynccontextmanager
async def _mcp_servers(session: Session, tools: ToolRegistry) -> AsyncGenerator[None]:
    """Run the session's MCP servers while the block runs, if it has some."""
    if not session.config.mcp_servers:
        yield
        return
    from agent_runner.mcp_client.servers import serve_mcp  # noqa: PLC0415 -- most sessions have none

    async with serve_mcp(session, tools):
        yield


async def _release_stale_claims(session: Session) -> None:
    """Release the claims of the last runner. A claim means that a living runner works on the message."""
    if await session.outbound.read(outbound.has_open_claims):
        await session.outbound.write(outbound.release_stale_claims)


@frozen
class _Poll:
    """The result of a poll. It is `complete` if it read all open rows, so that `next_due` is known."""

    batch: Batch | None
    next_due: datetime | None
    complete: bool


@define(eq=False)
class _Loop:
    session: Session
    provider: OpenProvider
    _seen: int = field(default=0, init=False)
    """The host's commits before the last poll."""
    _horizon: int | None = field(default=None, init=False)
    """The largest `seq` at the first poll, or None before it."""
    _waits_for_host: bool = field(default=False, init=False)
    _pruner: Pruner = field(init=False, default=Factory(lambda self: Pruner(self.session), takes_self=True))

    async def run(self) -> None:
        """Take turns until cancelled."""
        while True:
            try:
                await self._round()
            except InboundUnavailableError as error:
                await self._wait_for_host(error)

    async def run_once(self) -> None:
        """Take the turns that are due now."""
        try:
            while (batch := (await self._poll()).batch) is not None:
                await take_turn(self.session, self.provider, batch)
        except InboundUnavailableError as error:
            self.session.seams.log("inbound.unavailable", level="warning", reason=str(error))

    async def _round(self) -> None:
        self._seen = self.session.changes.count
        poll = await self._poll()
        await self.session.outbox.tidy(self.session.inbound)
        self._waits_for_host = False
        if poll.batch is not None:
            await take_turn(self.session, self.provider, poll.batch)
            if not poll.complete or self.session.changes.count > self._seen:
                return
            # The host committed nothing meanwhile, so another poll would find nothing.
        if not await self._pruner.step():
            await wait_for_change(self.session, self._seen, poll.next_due)

    async def _poll(self) -> _Poll:
        horizon = await self._first_horizon()
        selection = Selection(self.session.seams.clock.now(), horizon)
        await scan(self.session, selection)
        return _Poll(selection.batch(), selection.next_due, complete=not selection.closed)

    async def _first_horizon(self) -> int:
        if self._horizon is None:
            self._horizon = await self.session.inbound.select(inbound.largest_seq)
        return self._horizon

    async def _wait_for_host(self, error: InboundUnavailableError) -> None:
        if not self._waits_for_host:
            self.session.seams.log("inbound.unavailable", level="warning", reason=str(error))
        self._waits_for_host = True
        with trio.move_on_after(PAUSE_WITHOUT_HOST):
            await self.session.changes.after(self._seen)
