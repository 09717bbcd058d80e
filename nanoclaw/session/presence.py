"""What sessions tell of themselves (container status, last use), written coalesced, off the hot path."""

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
"""News are at most this old when they are written, all in one transaction."""

_log = structlog.get_logger()


@define(eq=False)
class Presences:
    """Collects news of all sessions. `note` is synchronous; only the newest of each kind counts."""

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
        """There is news of a session."""
        news = self._news.get(session_id) or Presence(session_id)
        self._news[session_id] = evolve(
            news,
            container_status=container_status or news.container_status,
            last_active=last_active or news.last_active,
        )
        self._noted.set()

    async def flush(self) -> None:
        """Write what is noted; what cannot be written now is kept for the next time."""
        news, self._news = self._news, {}
        if not news:
            return
        try:
            await self._registry.ask(RecordPresence(tuple(news.values())))
        except (StoreError, ActorError) as error:
            _log.warning("presence.not_written", reason=str(error))
            self._news = {**news, **self._news}

    async def run(self) -> None:
        """Write from time to time, until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            await trio.sleep(FLUSH_S)
            await self.flush()

    @asynccontextmanager
    async def recipe(self, _context: Context["Presences"]) -> AsyncIterator["Presences"]:
        """The actor that writes; what is left is written when it stops."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            yield self
            nursery.cancel_scope.cancel()
        await self.flush()
