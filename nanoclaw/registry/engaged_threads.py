"""The message to the registry about the threads in which agents stay engaged."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from nanoclaw.records import EngagedThread
from nanoclaw.registry.actor import Registry
from nanoclaw.store.central import engaged_threads


@frozen
class RecordEngaged:
    """Record threads in which agents are engaged, and those that they have left. Many share one commit."""

    engaged: Sequence[EngagedThread]
    left: Sequence[tuple[str, str]]
    """Wiring and thread."""
    silent_since: datetime
    """Rows whose last message is older are deleted."""

    async def handle(self, actor: Registry) -> None:
        """Write all of them in one transaction. No cached read shows them."""
        await actor.note(engaged_threads.record, self.engaged, self.left, self.silent_since)
