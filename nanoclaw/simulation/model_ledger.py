"""Counts the answers of the scripted model, to compare them with the usage that the host has recorded."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
from attrs import define, field, frozen

from nanoclaw.gateway import Models, UpstreamAnswer, UpstreamRequest
from nanoclaw.testing.invariants import rows

USAGE = b'"prompt_tokens"'
"""The mark of the event of an answer that reports its tokens."""
_RECORDED = "SELECT coalesce(sum(cached_tokens), 0) FROM usage"
"""The recorded answers: each reports one cached token."""


def recorded(database: Path) -> int:
    """Return the number of answers that the host has recorded. Raises apsw.Error."""
    [(count,)] = rows(database, _RECORDED)
    return int(count)


@define(eq=False)
class ModelLedger:
    """The answers of a workload's model that came to their end."""

    database: Path
    answered: int = 0
    lost: int = 0
    """The most answers that dead hosts had not recorded."""

    def note(self, event: str, _details: tuple[object, ...]) -> None:
        """Forgive a new host what the one before it did not record."""
        if event == "host ready":
            try:
                self.lost = max(self.lost, self.answered - recorded(self.database))
            except apsw.Error:
                self.lost = self.answered


@frozen
class CountedModels:
    """The servers of models, whose answers are counted."""

    models: Models
    ledger: ModelLedger

    @asynccontextmanager
    async def ask(self, request: UpstreamRequest) -> AsyncGenerator[UpstreamAnswer]:
        """Ask, and count."""
        async with self.models.ask(request) as answer:
            yield UpstreamAnswer(answer.status, answer.headers, _Counted(answer.body, self.ledger))


@define(eq=False)
class _Counted:
    body: AsyncIterator[bytes]
    ledger: ModelLedger
    _has_usage: bool = field(default=False, init=False)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self.body)
        if USAGE in piece and not self._has_usage:
            self._has_usage = True
            self.ledger.answered += 1
        return piece
