"""Selects the open rows of the next turn (contract 4, Status). Pure: rows in, oldest first; a batch out."""

from collections import deque
from collections.abc import Container
from datetime import datetime

from attrs import define, field, frozen

from agent_runner.commands.call import Call
from agent_runner.inbound import Candidate
from agent_runner.records import Claim
from agent_runner.times import from_text_or

LARGEST_BATCH = 200


@frozen
class Batch:
    """The rows of a turn, oldest first. `omitted` is older context, closed with the turn but not shown."""

    ids: tuple[str, ...]
    omitted: tuple[Claim, ...] = ()
    call: Call | None = None
    """The slash command that the only row calls. `omitted` then is the context before it."""


@define(eq=False)
class Selection:
    """Takes rows in order until it is closed.

    Context starts no turn. Of more than 200 rows of context before a message, the turn gets the newest; the
    older ones are closed with it, so few rows stay open. A row that was tried before has a turn alone. So do
    a slash command and a task with a script. Rows with `on_wake` count up to `horizon`: those that were there
    at the first poll.
    """

    now: datetime
    horizon: int
    next_due: datetime | None = field(default=None, init=False)
    closed: bool = field(default=False, init=False)
    _rows: deque[Candidate] = field(factory=deque, init=False)
    _omitted: list[Candidate] = field(factory=list, init=False)
    _triggered: bool = field(default=False, init=False)
    _call: Call | None = field(default=None, init=False)

    def offer(self, row: Candidate) -> None:
        """Consider the next row."""
        if self.closed or (row.on_wake and row.seq > self.horizon):
            return
        due_at = from_text_or(row.process_after, self.now)
        if due_at > self.now:
            self.next_due = min(due_at, self.next_due or due_at)
        elif row.is_alone:
            self._offer_alone(row)
        else:
            self._add(row)

    def batch(self) -> Batch | None:
        """Return the selected rows, or None if no row starts a turn."""
        if not self._triggered:
            return None
        omitted = (Claim(row.id, row.tries) for row in self._omitted)
        return Batch(tuple(row.id for row in self._rows), tuple(omitted), self._call)

    def _offer_alone(self, row: Candidate) -> None:
        if not self._triggered:
            before = [*self._omitted, *self._rows]
            self._omitted = before if row.call else []
            self._rows, self._call = deque([row]), row.call
            self._triggered = True
        self.closed = True

    def _add(self, row: Candidate) -> None:
        if len(self._rows) == LARGEST_BATCH:
            self._omitted.append(self._rows.popleft())
        self._rows.append(row)
        self._triggered = self._triggered or row.trigger
        self.closed = self._triggered and len(self._rows) == LARGEST_BATCH


@define(eq=False)
class FollowUps:
    """Takes rows for a running turn: due triggers and context, except the `excluded` ones.

    A row that was tried before waits for its own turn, as does a task with a script. A row with `on_wake`
    waits for the loop. A slash command ends the follow-ups: what comes after it is for the turn after it.
    """

    now: datetime
    excluded: Container[str]
    ids: list[str] = field(factory=list, init=False)
    next_due: datetime | None = field(default=None, init=False)
    closed: bool = field(default=False, init=False)

    def offer(self, row: Candidate) -> None:
        """Consider the next row. None of them has an ack."""
        if self.closed or row.on_wake or row.tries or row.id in self.excluded:
            return
        due_at = from_text_or(row.process_after, self.now)
        if due_at > self.now:
            self.next_due = min(due_at, self.next_due or due_at)
            return
        self.closed = row.call is not None
        if row.is_alone:
            return
        self.ids.append(row.id)
        self.closed = len(self.ids) == LARGEST_BATCH
