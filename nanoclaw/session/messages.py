"""The open messages of a session and their outcomes: contract 4 (Status, Retry) as frozen values.

It takes acks and the date, and returns verdicts. It reads and writes no file.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import Factory, evolve, frozen

from nanoclaw.store.engine.times import from_text_or_none
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import Ack

T = TypeVar("T")

SLACK = timedelta(seconds=1)
"""Tolerated difference between two readings of the date."""
UNTAKEN_S = 20.0
"""Seconds after which a running foreign runner counts as having dropped a row of kind `system`."""
MAX_ACKS_PER_LOOK = 1000
"""Most messages whose acks one look reads. A turn takes 200, and closes older context with them."""


@frozen
class Completed:
    """A turn consumed the message. `began` is the time at which the claim was first seen."""

    message: OpenMessage
    began: datetime | None = None


@frozen
class Failed:
    """The message ran out of tries, or the runner failed it. The user is told."""

    message: OpenMessage
    reason: str


@frozen
class Retry:
    """The message is tried again, not before `after`."""

    message: OpenMessage
    tries: int
    after: datetime
    reason: str


Verdict = Completed | Failed | Retry


@frozen
class Messages:
    """The open messages of a session in order of arrival, and the runner's claims."""

    retry_base_s: float
    max_tries: int
    open: Mapping[str, OpenMessage] = Factory(dict)
    claimed: Mapping[str, datetime] = Factory(dict)
    """The claimed messages in order, with the time at which each claim was first seen."""
    own_seq: int = 0
    """The largest `seq` that the host has assigned."""
    _seen: Mapping[str, str | None] = Factory(dict)
    """The claims of the last look, by message: the time at which each ack changed."""
    _inherited: Mapping[str, str | None] = Factory(dict)
    """The claims of earlier runners, by message."""
    _untaken: Mapping[str, float] = Factory(dict)
    """The rows of kind `system` that a foreign runner has not taken, with the time of the first look."""

    # -- open messages

    def add(self, messages: Iterable[OpenMessage]) -> "Messages":
        """Add or replace messages that are on disk."""
        added = {message.id: message for message in messages}
        if not added:
            return self
        own_seq = max(self.own_seq, *(message.seq for message in added.values()))
        return evolve(self, open={**self.open, **added}, own_seq=own_seq)

    def remove(self, ids: Iterable[str]) -> "Messages":
        """Remove messages that are not open any more."""
        gone = frozenset(ids)
        return evolve(self, open=_without(self.open, gone), claimed=_without(self.claimed, gone))

    def ids(self, now: datetime) -> Sequence[str]:
        """Return the ids of the messages whose acks a look must read.

        These are claimed, due, and retried messages. A retried answer is read before it is due, because a
        repeated turn takes the answers that it had asked for. Context comes last, because each turn also has
        a message that started it.
        """
        taken = [
            message
            for id_, message in self.open.items()
            if id_ in self.claimed or message.tries or message.due(now)
        ]
        taken.sort(key=lambda message: not message.trigger)
        return [message.id for message in taken[:MAX_ACKS_PER_LOOK]]

    @property
    def exceed_one_look(self) -> bool:
        """True if one look may not read the acks of all messages."""
        return len(self.open) > MAX_ACKS_PER_LOOK

    def has_only_context(self) -> bool:
        """Return True if all open messages are context."""
        return not any(message.trigger for message in self.open.values())

    def waiting(self, now: datetime) -> tuple[OpenMessage, ...]:
        """Return the due messages that await an answer, in order of arrival."""
        return tuple(message for message in self.open.values() if message.awaits_answer and message.due(now))

    def has_missed(self, before: datetime) -> bool:
        """Return True if a task that must not run late was due before this time, and no runner took it."""
        return any(
            message.expires and not message.tries and message.id not in self.claimed
            for message in self.open.values()
            if message.process_after is not None and message.process_after < before
        )

    def has_misdated(self, now: datetime) -> bool:
        """Return True if a task waits whose row was stored while the date was ahead."""
        return any(
            not message.tries and not message.due(now) and message.id not in self.claimed
            for message in self.open.values()
            if message.schedule and message.schedule.stored_at and message.schedule.stored_at > now
        )

    def wanted(self, now: datetime) -> bool:
        """Return True if there is work for a runner now."""
        return any(message.trigger and message.due(now) for message in self.open.values())

    def next_due(self, now: datetime) -> datetime | None:
        """Return the time at which the next message becomes due."""
        later = [m.process_after for m in self.open.values() if m.trigger and m.process_after]
        return min((due for due in later if due > now), default=None)

    def newest_claim(self) -> datetime | None:
        """Return the time of the newest claim: the runner's own time, else that of the look that saw it."""
        times = [from_text_or_none(self._seen.get(id_)) or began for id_, began in self.claimed.items()]
        return max(times, default=None)

    # -- verdicts

    def forget_untaken(self) -> "Messages":
        """Forget since when rows of kind `system` have not been taken."""
        return evolve(self, untaken={}) if self._untaken else self

    def drop_untaken(self, now: datetime, monotonic: float) -> tuple["Messages", tuple[Verdict, ...]]:
        """Complete the rows of kind `system` that a running foreign runner does not take.

        Such runners look for the answer to a question by its text, and drop all other rows of this kind
        without an ack. They take only the newest few rows, so dropped ones would hide the messages of users.
        """
        since = {
            id_: self._untaken.get(id_, monotonic)
            for id_, message in self.open.items()
            if message.kind == "system" and message.due(now) and id_ not in self.claimed
        }
        dropped = [self.open[id_] for id_, first in since.items() if monotonic - first >= UNTAKEN_S]
        return evolve(self, untaken=since), tuple(Completed(message) for message in dropped)

    def next_drop(self) -> float | None:
        """Return the time, on the monotonic clock, at which the next such row is to be completed."""
        left = [first for id_, first in self._untaken.items() if id_ in self.open and id_ not in self.claimed]
        return min(left) + UNTAKEN_S if left else None

    def judge(self, acks: Iterable[Ack], now: datetime) -> tuple["Messages", tuple[Verdict, ...]]:
        """Apply the rules to the runner's acks. Return the new claims, and verdicts to be committed."""
        acks = list(acks)
        if not acks and not self.claimed:
            return (self if not self._seen else evolve(self, seen={})), ()
        verdicts, claimed, seen = list[Verdict](), dict[str, datetime](), dict[str, str | None]()
        for ack in acks:
            message = self.open.get(ack.message_id)
            if message is None or ack.attempt not in {None, message.tries}:
                continue
            began = self.claimed.get(message.id, now)
            if ack.status == "processing":
                claimed[message.id] = began
                seen[message.id] = ack.changed
            else:
                verdicts.append(self._verdict(message, ack, began, now))
        return evolve(self, claimed=claimed, seen=seen), tuple(verdicts)

    def _verdict(self, message: OpenMessage, ack: Ack, began: datetime, now: datetime) -> Verdict:
        match ack.status:
            case "completed":
                return Completed(message, began)
            case "released":
                return self._again(message, now, ack.error or "the provider released it", ack.retry_at)
            case _:
                return Failed(message, ack.error or "the agent could not handle it")

    def shorten(self, acks: Iterable[Ack], now: datetime) -> tuple[Retry, ...]:
        """Return the retries that wait longer than their own length, because the date was set back.

        Such a retry waits for its whole length again.
        """
        wishes = {ack.message_id: _wish(ack) for ack in acks}
        looked_for = frozenset(self.ids(now))
        found = list[Retry]()
        for message in self.open.values():
            if not message.tries or message.id in self.claimed or message.id not in looked_for:
                continue
            until = now + max(self._back_off(message.tries), wishes.get(message.id, timedelta()))
            if message.process_after is not None and message.process_after > until + SLACK:
                found.append(Retry(message, message.tries, until, "the date was set back"))
        return tuple(found)

    def begin_runner(self) -> "Messages":
        """Count the present claims as inherited, until the new runner renews them."""
        return evolve(self, inherited=self._seen)

    def own_claims(self) -> Sequence[str]:
        """Return the ids of the messages that this runner has claimed itself."""
        seen, inherited = self._seen, self._inherited
        return [id_ for id_ in self.claimed if id_ not in inherited or inherited[id_] != seen.get(id_)]

    def judge_death(self, reason: str, now: datetime) -> tuple[Verdict, ...]:
        """Return verdicts on the claims of a dead runner. Call it after its last acks were settled.

        An inherited claim costs no try. Its first owner died with the host or was stopped, and may still
        commit the turn while it stops.
        """
        owned = [self.open[id_] for id_ in self.own_claims() if id_ in self.open]
        return tuple(self._again(message, now, reason, None) for message in owned)

    def _again(self, message: OpenMessage, now: datetime, reason: str, at: datetime | None) -> Verdict:
        tries = message.tries + 1
        if tries >= self.max_tries:
            return Failed(message, reason)
        back_off = now + self._back_off(tries)
        return Retry(message, tries, max(at or back_off, back_off), reason)

    def _back_off(self, tries: int) -> timedelta:
        return timedelta(seconds=self.retry_base_s * 2**tries)

    def apply(self, verdicts: Sequence[Verdict]) -> "Messages":
        """Apply committed verdicts."""
        if not verdicts:
            return self
        open_, judged = dict(self.open), frozenset(verdict.message.id for verdict in verdicts)
        for verdict in verdicts:
            if isinstance(verdict, Retry):
                again = evolve(verdict.message, tries=verdict.tries, process_after=verdict.after)
                open_[again.id] = again
            else:
                open_.pop(verdict.message.id, None)
        return evolve(self, open=open_, claimed=_without(self.claimed, judged))

    def unclaimed(self) -> "Messages":
        """Remove all claims, because their runner's death is settled."""
        return evolve(self, claimed={})


def ended_turns(acks: Iterable[Ack], verdicts: Iterable[Verdict]) -> int:
    """Return the number of turns that ended with these acks. A turn that released its messages did not."""
    ended = {each.message.id for each in verdicts if isinstance(each, Completed | Failed)}
    return len({ack.turn or ack.changed or ack.message_id for ack in acks if ack.message_id in ended})


def _wish(ack: Ack) -> timedelta:
    """Return the wait that a provider asked for when it released the message."""
    since = from_text_or_none(ack.changed)
    return timedelta() if since is None or ack.retry_at is None else ack.retry_at - since


def _without(values: Mapping[str, T], ids: frozenset[str]) -> Mapping[str, T]:
    if not any(id_ in values for id_ in ids):
        return values
    return {id_: value for id_, value in values.items() if id_ not in ids}
