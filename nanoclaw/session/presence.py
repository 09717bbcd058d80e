"""Container status and last use of sessions, collected and written together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import structlog
import trio
from attrs import Factory, define, evolve

from actors import ActorError, Context, Ref
from nanoclaw.records import ContainerStatus, Presence
from nanoclaw.registry import RecordPresence, Registry
from nanoclaw.store import StoreError

FLUSH_S = 5.0
"""Longest delay in seconds of a write. Each write is one transaction."""

_log = structlog.get_logger()


@define(eq=False)
class Presences:
    """Collects the presence of all sessions. Only the newest values are kept."""

    _registry: Ref[Registry]
    _news: dict[str, Presence] = Factory(dict)
    _noted: trio.Event = Factory(trio.Event)

    def note(
        self,
        session_id: str,
        *,
        container_status: ContainerStatus | None = None,
        last_active: datetime | None = None,
    ) -> None:
        """Note new values of a session. Synchronous."""
        news = self._news.get(session_id) or Presence(session_id)
        self._news[session_id] = evolve(
            news,
            container_status=container_status or news.container_status,
            last_active=last_active or news.last_active,
        )
        self._noted.set()

    async def flush(self) -> None:
        """Write the noted values. After a failure they are kept for the next write."""
        news, self._news = self._news, {}
        if not news:
            return
        try:
            await self._registry.ask(RecordPresence(tuple(news.values())))
        except (StoreError, ActorError) as error:
            _log.warning("presence.not_written", reason=str(error))
            self._news = {**news, **self._news}

    async def run(self) -> None:
        """Write after each note, at most every `FLUSH_S`, until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            await trio.sleep(FLUSH_S)
            await self.flush()

    @asynccontextmanager
    async def recipe(self, _context: Context["Presences"]) -> AsyncIterator["Presences"]:
        """Run the actor that writes. It writes the remaining values when it stops."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            yield self
            nursery.cancel_scope.cancel()
        await self.flush()
