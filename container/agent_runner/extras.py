"""What a running turn takes besides its batch: answers to its tools' requests, and follow-ups."""

from collections.abc import Container, Iterator
from contextlib import contextmanager

from attrs import define, field

from agent_runner.records import Claim, Inbound


@define(eq=False)
class Extras:
    """Kept in memory only: a runner that dies leaves the acks, and the host settles them like any other."""

    barred: set[str] = field(factory=set)
    """Never follow-ups: context that is closed with the turn, and answers that a tool waits for."""
    resumed: set[str] = field(factory=set, init=False)
    """Questions of an interrupted turn that a call of this one waits for, or has."""
    answers: list[Claim] = field(factory=list, init=False)
    follow_ups: list[Inbound] = field(factory=list, init=False)

    @contextmanager
    def awaiting(self, answer_id: str) -> Iterator[None]:
        """Keep an answer for the tool that waits for it."""
        self.barred.add(answer_id)
        try:
            yield
        finally:
            self.barred.discard(answer_id)

    def consumed(self, ids: Container[object]) -> list[Claim]:
        """What a result over these messages closes: the answers, and those follow-ups."""
        return [*self.answers, *(_claim(row) for row in self.follow_ups if row.id in ids)]

    def left(self, ids: Container[object]) -> list[Claim]:
        """The follow-ups that it does not close."""
        return [_claim(row) for row in self.follow_ups if row.id not in ids]


def _claim(row: Inbound) -> Claim:
    return Claim(row.id, row.tries)
