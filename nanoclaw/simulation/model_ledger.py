"""Counts the answers of the scripted model, to compare them with the usage that the host has recorded."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path

import apsw
import trio
from attrs import define, evolve, field

from nanoclaw.simulation.retry_accounting import ENDS
from nanoclaw.testing import FakeModel
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.models import ModelResponse

KEPT_BACK_S = 900.0
"""The longest time for which a host keeps what it cannot record, because its disk fails."""
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

    database: Path = Path()
    """The central database. The world knows it when it is open."""
    lost: int = 0
    """The most answers that dead hosts had not recorded."""
    _moments: list[float] = field(factory=list, init=False)
    _died_at: float = field(default=0.0, init=False)

    @property
    def answered(self) -> int:
        """The number of answers."""
        return len(self._moments)

    def add(self) -> None:
        """Count an answer."""
        self._moments.append(trio.current_time())

    def note(self, event: str, _details: tuple[object, ...]) -> None:
        """Forgive a host that died what it had not recorded of the last answers."""
        if event in ENDS:
            self._died_at = trio.current_time()
        elif event == "host ready":
            recent = sum(moment > self._died_at - KEPT_BACK_S for moment in self._moments)
            self.lost = min(self.lost + recent, self._unrecorded())

    def _unrecorded(self) -> int:
        try:
            return self.answered - recorded(self.database)
        except apsw.Error:
            return self.answered


@define(eq=False)
class CountedModel(FakeModel):
    """A fake model whose answers are counted when they report their usage."""

    ledger: ModelLedger = field(kw_only=True)

    async def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ModelResponse:
        """Answer a request."""
        response = await FakeModel.respond(self, method, path, headers, body)
        return evolve(response, body=self._counted(response.body))

    async def _counted(self, body: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        async with aclosing(body) as pieces:
            async for piece in pieces:
                if USAGE in piece:
                    self.ledger.add()
                yield piece
