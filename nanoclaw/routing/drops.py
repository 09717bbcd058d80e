"""Counts dropped messages and clicks by chat, sender and reason. The counts are written together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import structlog
import trio
from attrs import Factory, define, evolve, frozen

from actors import ActorError, Context, Ref
from nanoclaw.records import Address, UnregisteredSender
from nanoclaw.registry import RecordDrops, Registry
from nanoclaw.store import StoreError
from nanoclaw.system.clock import Clock

WRITE_S = 1.0
"""Longest delay in seconds of a write. A crash loses the counts of that time."""
MOST_SENDERS = 1000
"""Limit of counts that wait for a write. Above it, the senders of a chat are counted as one without an id."""
MOST = 2000
"""Limit above which drops are only logged."""

_log = structlog.get_logger()


@frozen
class Drop:
    """One dropped message or click."""

    address: Address
    user_id: str | None
    name: str | None
    reason: str
    messaging_group_id: str | None = None
    agent_group_id: str | None = None


_Key = tuple[str, str, str | None, str]


@define(eq=False)
class Drops:
    """The counts that are not written yet."""

    _registry: Ref[Registry]
    _clock: Clock
    _counts: dict[_Key, UnregisteredSender] = Factory(dict)
    _counted: trio.Event = Factory(trio.Event)
    _writing: trio.Lock = Factory(trio.Lock)

    def count(self, drop: Drop) -> bool:
        """Count one drop. Return True for the first of its kind since the last write. Synchronous."""
        now = self._clock.now()
        if len(self._counts) >= MOST_SENDERS and _key(drop) not in self._counts:
            drop = evolve(drop, user_id=None, name=None)
        key = _key(drop)
        if len(self._counts) >= MOST and key not in self._counts:
            _log.warning("routing.drop_not_counted", chat=drop.address.platform_id, reason=drop.reason)
            return False
        known = self._counts.get(key)
        before = known or _uncounted(drop, now)
        self._counts[key] = evolve(
            before,
            sender_name=drop.name or before.sender_name,
            messaging_group_id=drop.messaging_group_id or before.messaging_group_id,
            agent_group_id=drop.agent_group_id or before.agent_group_id,
            message_count=before.message_count + 1,
            last_seen=now,
        )
        self._counted.set()
        return known is None

    async def write(self) -> None:
        """Write the counts, after a write that is under way. After a failure they are kept."""
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await self._registry.ask(RecordDrops(tuple(counts.values())))
        except (StoreError, ActorError) as error:
            _log.warning("routing.drops_not_written", reason=str(error))
            self._counts = {**self._counts, **counts} if len(self._counts) < MOST else self._counts

    async def run(self) -> None:
        """Write after each drop, at most every `WRITE_S`, until cancelled."""
        while True:
            await self._counted.wait()
            self._counted = trio.Event()
            await self.write()
            await trio.sleep(WRITE_S)

    @asynccontextmanager
    async def recipe(self, _context: "Context[Drops]") -> AsyncIterator["Drops"]:
        """Run the actor that writes. It writes the remaining counts when it stops."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            yield self
            nursery.cancel_scope.cancel()
        await self.write()


def _key(drop: Drop) -> _Key:
    return drop.address.channel_type, drop.address.platform_id, drop.user_id, drop.reason


def _uncounted(drop: Drop, now: datetime) -> UnregisteredSender:
    where = drop.address
    return UnregisteredSender(
        where.channel_type, where.platform_id, drop.user_id, drop.name, drop.reason, None, None, 0, now, now
    )
