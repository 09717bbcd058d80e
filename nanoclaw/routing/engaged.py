"""The threads in which agents stay engaged, by wirings with `sticky` (contract 3).

They are kept in memory, because each message asks for them. The beginning and the end of an engagement are on
disk before the event that causes them is confirmed. Its renewals by later messages are written together, so a
crash shortens an engagement by a few minutes at most.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog
import trio
from attrs import Factory, define, evolve

from actors import ActorError, Context, Ref
from nanoclaw.records import EngagedThread
from nanoclaw.registry import RecordEngaged, Registry
from nanoclaw.store import Reader, StoreError
from nanoclaw.store.central import engaged_threads
from nanoclaw.system.clock import Clock

SILENCE = timedelta(hours=24)
"""Time without a message after which an agent is not engaged any more."""
FLUSH_S = 60.0
"""Longest delay in seconds of the write of renewals."""
MAX_ENGAGED = 100_000
"""Limit of engaged threads. The one that has been silent for longest is left for a new one."""
_STOP = re.compile(r"(?:<?@[^\s>]+>?[,:]?\s+)*/stop(?:@\w+)?(?:\s.*)?", re.IGNORECASE | re.DOTALL)

_Key = tuple[str, str]
"""Wiring and thread; an empty thread is the chat outside of its threads."""

_log = structlog.get_logger()


def is_stop(text: str) -> bool:
    """Return whether a text calls `/stop`, as runners read it (contract 4, Slash commands)."""
    return "/stop" in text.casefold() and _STOP.fullmatch(text.strip()) is not None


@define(eq=False)
class EngagedThreads:
    """Knows the engaged threads, and has changes written. Only the router changes it."""

    _registry: Ref[Registry]
    _central: Reader
    _clock: Clock
    _threads: dict[_Key, EngagedThread] = Factory(dict)
    """In order of their last messages."""
    _news: dict[_Key, EngagedThread | None] = Factory(dict)
    """Changes that are not on disk. None: the thread is left."""
    _ends: bool = False
    """True if an engagement has ended, and that may not be on disk."""
    _noted: trio.Event = Factory(trio.Event)

    def holds(self, wiring_id: str, thread_id: str | None) -> bool:
        """Return whether the agent of a wiring is engaged in a thread now."""
        thread = self._threads.get((wiring_id, thread_id or ""))
        return thread is not None and self._clock.now() - thread.last_at < SILENCE

    async def engage(self, wiring_id: str, thread_id: str | None) -> None:
        """Engage the agent in a thread because of a message, or renew that.

        When this returns, a new engagement is on disk.

        Raises:
            ActorError, StoreError: it could not be stored.
        """
        key, now, is_new = (wiring_id, thread_id or ""), self._clock.now(), True
        before = self._threads.pop(key, None)
        if before is not None and now - before.last_at < SILENCE:
            thread, is_new = evolve(before, last_at=now), False
        else:
            thread = EngagedThread(*key, now, now)
        self._threads[key] = self._news[key] = thread
        if len(self._threads) > MAX_ENGAGED:
            self.leave(*next(iter(self._threads)))
        self._noted.set()
        if is_new:
            await self._write_new(key)

    async def _write_new(self, key: _Key) -> None:
        try:
            await self.flush()
        except BaseException:  # the event is offered again, and engages the agent then
            self._threads.pop(key, None)
            self._news[key] = None
            raise

    def leave(self, wiring_id: str, thread_id: str | None) -> None:
        """End the engagement in a thread. It is on disk after `store_ends`."""
        key = wiring_id, thread_id or ""
        if self._threads.pop(key, None) is not None:
            self._news[key], self._ends = None, True
            self._noted.set()

    async def store_ends(self) -> None:
        """Write the engagements that have ended, if there are any.

        Raises:
            ActorError, StoreError: it could not be stored.
        """
        if self._ends:
            await self.flush()
            self._ends = False

    async def flush(self) -> None:
        """Write what is not on disk.

        Raises:
            ActorError, StoreError: it could not be stored. It stays for the next write.
        """
        news, self._news = self._news, {}
        engaged = [thread for thread in news.values() if thread is not None]
        left = [key for key, thread in news.items() if thread is None]
        try:
            await self._registry.ask(RecordEngaged(engaged, left, self._silent_since()))
        except BaseException:
            self._news = {key: self._threads.get(key) for key in (*news, *self._news)}
            raise

    def _silent_since(self) -> datetime:
        return self._clock.now() - SILENCE

    async def run(self) -> None:
        """Write renewals, at most every `FLUSH_S`, until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            await trio.sleep(FLUSH_S)
            self._forget_silent()
            await self._try_flush()

    def _forget_silent(self) -> None:
        since = self._silent_since()
        self._threads = {key: each for key, each in self._threads.items() if each.last_at > since}

    async def _try_flush(self) -> None:
        if not self._news:
            return
        try:
            await self.flush()
        except (StoreError, ActorError) as error:
            _log.warning("routing.engagement_not_written", reason=str(error))

    @asynccontextmanager
    async def recipe(self, _context: Context["EngagedThreads"]) -> AsyncIterator["EngagedThreads"]:
        """Read what is on disk, and run the actor that writes. It writes the rest when it stops."""
        now = self._clock.now()
        for thread in await self._central.run(engaged_threads.every):
            known = evolve(thread, last_at=min(thread.last_at, now))  # the date may have been set back
            key = thread.wiring_id, thread.thread_id
            if key not in self._news:
                self._threads.setdefault(key, known)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            yield self
            nursery.cancel_scope.cancel()
        await self._try_flush()
