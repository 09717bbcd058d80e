"""The rows of a running turn besides its batch: answers to its tools' requests, and follow-ups."""

from collections.abc import Container, Iterator
from contextlib import contextmanager

from attrs import define, field

from agent_runner.providers.toolbox import ShownFile
from agent_runner.records import Claim, Inbound
from agent_runner.turns.shell import TurnShell


@define(eq=False)
class TurnState:
    """The state of one turn, in memory only. A runner that dies leaves the acks, which the host settles."""

    excluded: set[str] = field(factory=set)
    """Ids that are never follow-ups: omitted context of the turn, and answers that a tool waits for."""
    resumed_questions: set[str] = field(factory=set, init=False)
    """Questions of an interrupted turn that a call of this turn has taken over."""
    answers: list[Claim] = field(factory=list, init=False)
    follow_ups: list[Inbound] = field(factory=list, init=False)
    shown: list[ShownFile] = field(factory=list, init=False)
    """Files that tools show to the model."""
    shell: TurnShell | None = field(default=None, init=False)
    """Runs the agent's commands in a sandbox. None without one, and while no provider works on the turn."""

    @contextmanager
    def reserved(self, answer_id: str) -> Iterator[None]:
        """Keep an answer for the tool that waits for it, while the block runs."""
        self.excluded.add(answer_id)
        try:
            yield
        finally:
            self.excluded.discard(answer_id)

    def consumed(self, ids: Container[object]) -> list[Claim]:
        """Return the claims that a result with these ids completes: all answers, and the named follow-ups."""
        return [*self.answers, *(_claim(row) for row in self.follow_ups if row.id in ids)]

    def unconsumed(self, ids: Container[object]) -> list[Claim]:
        """Return the follow-ups that such a result does not complete."""
        return [_claim(row) for row in self.follow_ups if row.id not in ids]


def _claim(row: Inbound) -> Claim:
    return Claim(row.id, row.tries)
