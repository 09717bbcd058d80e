"""Prunes a session: a child task of its actor, soon after its start and then daily (contract 4).

A session at rest is not started for this. It does not grow, and is pruned at its next start.
"""

from collections.abc import Callable, Sequence
from functools import partial

import structlog
import trio
from attrs import Factory, define

from nanoclaw.records import SessionPaths
from nanoclaw.session.services import Services
from nanoclaw.store import StoreError, UntrustedReader, Writer
from nanoclaw.store.engine.mutex import Mutex
from nanoclaw.store.session import pruning

FIRST_S = 0.5
"""Seconds after the start. The work that the session was started for comes first."""
INTERVAL_S = 86_400.0
PAUSE_S = 0.05
"""Seconds between batches, in which incoming messages are stored."""

_log = structlog.get_logger()


@define(eq=False)
class Pruner:
    """Prunes one session's `inbound.db` and inbox."""

    services: Services
    paths: SessionPaths
    inbound: Writer
    outbound: UntrustedReader
    files: Mutex = Factory(Mutex)
    """Held while files are stored, until their rows are committed."""

    async def run(self, pruned: Callable[[], None]) -> None:
        """Prune daily until cancelled. Call `pruned` after each pruning that opened files."""
        await trio.sleep(FIRST_S)
        while True:
            if await self.prune():
                pruned()
            await trio.sleep(INTERVAL_S)

    async def prune(self) -> bool:
        """Prune once. Return True if files of the session were opened.

        Files that cannot be read or removed now are left for the next time.
        """
        config = self.services.config
        try:
            if config.retention.messages_s:
                await self.inbound.run(pruning.date_back, self.services.clock.now())
                await self._prune_deliveries(self._before(config.retention.messages_s))
                await self._prune_messages(self._before(config.retention.messages_s))
            # A message is deleted together with its files.
            ages = [age for age in (config.retention.files_s, config.retention.messages_s) if age]
            found = bool(ages) and await self._prune_files(self._before(min(ages)))
        except (StoreError, OSError) as error:
            _log.warning("session.not_pruned", reason=str(error))
            return True
        return found or bool(config.retention.messages_s)

    def _before(self, age_s: float) -> float:
        return self.services.clock.now().timestamp() - age_s

    async def _prune_messages(self, before: float) -> None:
        after: int | None = 0
        while after is not None:
            walked = await self.inbound.run(pruning.drop_messages, before, after)
            after = walked.next
            await self._pause("messages", len(walked.ids))

    async def _prune_deliveries(self, before: float) -> None:
        after: int | None = 0
        while after is not None:
            walked = await self.inbound.run(pruning.old_deliveries, before, after)
            after = walked.next
            gone = await self._gone(walked.ids) if walked.ids else []
            if gone:
                await self.inbound.run(pruning.drop_deliveries, gone)
            await self._pause("deliveries", len(gone))

    async def _gone(self, ids: Sequence[str]) -> list[str]:
        """Return the keys whose rows the runner has removed. The key of a recurring row is `<id>@<slot>`."""
        rows = {id_: id_.partition("@")[0] for id_ in ids}
        left = await self.outbound.run(pruning.rows_left, list(rows.values()))
        return [id_ for id_, row in rows.items() if row not in left]

    async def _prune_files(self, before: float) -> bool:
        """Delete old folders of the inbox. Return True if there were folders."""
        run, inbox = self.services.executor.run, self.paths.inbox
        names = await run(partial(pruning.folders, inbox))
        for start in range(0, len(names), pruning.BATCH):
            batch = names[start : start + pruning.BATCH]
            async with self.files:
                found = await self.inbound.run(pruning.done_with, before, batch)
                removed = await run(partial(pruning.remove_folders, inbox, found, before))
            await self._pause("files", removed)
        return bool(names)

    async def _pause(self, what: str, count: int) -> None:
        if count:
            _log.debug("session.pruned", what=what, count=count)
            await trio.sleep(PAUSE_S)
