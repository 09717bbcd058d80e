"""The open messages of a session and their outcomes: contract 4 (Status, Retry) as frozen values.

Acks and the date go in, verdicts come out. Nothing here reads or writes a file.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import Factory, evolve, frozen

from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import Ack

T = TypeVar("T")

MAX_LOOKED_AT = 1000
"""Acks are read for so many at a time; a runner takes 200 a turn, and closes older context with it."""


@frozen
class Completed:
    """A turn consumed the message. `began`: when this try was first seen at work."""

    message: OpenMessage
    began: datetime | None = None


@frozen
class Failed:
    """The message was tried too often, or the runner gave it up; the user is told."""

    message: OpenMessage
    reason: str


@frozen
class Retry:
    """The message gets another try, not before `after`."""

    message: OpenMessage
    tries: int
    after: datetime
    reason: str


Verdict = Completed | Failed | Retry


@frozen
class Messages:
    """The pending messages of a session, in order of arrival, and who works on them."""

    retry_base_s: float
    max_tries: int
    open: Mapping[str, OpenMessage] = Factory(dict)
    claimed: Mapping[str, datetime] = Factory(dict)
    """The messages that the runner works on, in order, with the moment each claim was first seen."""
    own_seq: int = 0
    """The largest number that the host has given."""
    _seen: Mapping[str, str | None] = Factory(dict)
    """The claims of the last look, by message."""
    _inherited: Mapping[str, str | None] = Factory(dict)
    """The claims that were there before the runner was started."""

    # -- what is open

    def add(self, messages: Iterable[OpenMessage]) -> "Messages":
        """Follow messages that are on disk now, or tasks that changed."""
        added = {message.id: message for message in messages}
        if not added:
            return self
        own_seq = max(self.own_seq, *(message.seq for message in added.values()))
        return evolve(self, open={**self.open, **added}, own_seq=own_seq)

    def remove(self, ids: Iterable[str]) -> "Messages":
        """Forget messages that nobody waits for any more."""
        gone = frozenset(ids)
        return evolve(self, open=_without(self.open, gone), claimed=_without(self.claimed, gone))

    def ids(self, now: datetime) -> Sequence[str]:
        """Name the messages whose acks are to be read.

        A runner takes what is due. An answer is read before its next try, too: a turn that is repeated takes
        what it has asked for before. Context comes last: every turn has a message that started it, and the
        oldest of these are among the first.
        """
        taken = [
            message
            for id_, message in self.open.items()
            if id_ in self.claimed or message.tries or message.due(now)
        ]
        taken.sort(key=lambda message: not message.trigger)
        return [message.id for message in taken[:MAX_LOOKED_AT]]

    @property
    def exceed_one_look(self) -> bool:
        """Say whether one look may not see the acks of all."""
        return len(self.open) > MAX_LOOKED_AT

    def has_only_context(self) -> bool:
        """Say whether only context is open, which waits for the next message."""
        return not any(message.trigger for message in self.open.values())

    def waiting(self, now: datetime) -> tuple[OpenMessage, ...]:
        """List the due messages that somebody waits for, in order of arrival."""
        return tuple(message for message in self.open.values() if message.awaits_answer and message.due(now))

    def has_missed(self, before: datetime) -> bool:
        """Say whether a task that must not run late was due before a moment, and nobody has taken it."""
        return any(
            message.expires and not message.tries and message.id not in self.claimed
            for message in self.open.values()
            if message.process_after is not None and message.process_after < before
        )

    def wanted(self, now: datetime) -> bool:
        """Say whether there is work for a runner now."""
        return any(message.trigger and message.due(now) for message in self.open.values())

    def next_due(self, now: datetime) -> datetime | None:
        """Return when the next message becomes due."""
        later = [m.process_after for m in self.open.values() if m.trigger and m.process_after]
        return min((due for due in later if due > now), default=None)

    # -- what becomes of it

    def judge(self, acks: Iterable[Ack], now: datetime) -> tuple["Messages", tuple[Verdict, ...]]:
        """Apply the rules to the runner's acks: returns the claims, and verdicts that are to be committed."""
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
                return self._again(message, now, ack.error or "the provider gave it back", ack.retry_at)
            case _:
                return Failed(message, ack.error or "the agent could not handle it")

    def begin_runner(self) -> "Messages":
        """Count the claims seen so far as those of an earlier runner, until the new one makes them again."""
        return evolve(self, inherited=self._seen)

    def own_claims(self) -> Sequence[str]:
        """Name the messages that this runner has claimed itself."""
        seen, inherited = self._seen, self._inherited
        return [id_ for id_ in self.claimed if id_ not in inherited or inherited[id_] != seen.get(id_)]

    def judge_death(self, reason: str, now: datetime) -> tuple[Verdict, ...]:
        """Judge the claims of a dead runner; only after its last acks were judged.

        A claim that it inherited costs no try: its first owner died with the host, or of a stop, and its turn
        may still be committed by a runner that is on its way out.
        """
        owned = [self.open[id_] for id_ in self.own_claims() if id_ in self.open]
        return tuple(self._again(message, now, reason, None) for message in owned)

    def _again(self, message: OpenMessage, now: datetime, reason: str, at: datetime | None) -> Verdict:
        tries = message.tries + 1
        if tries >= self.max_tries:
            return Failed(message, reason)
        back_off = now + timedelta(seconds=self.retry_base_s * 2**tries)
        return Retry(message, tries, max(at or back_off, back_off), reason)

    def apply(self, verdicts: Sequence[Verdict]) -> "Messages":
        """Follow verdicts that were committed."""
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
        """Forget all claims: their runner is gone and its death is settled."""
        return evolve(self, claimed={})


def _without(values: Mapping[str, T], ids: frozenset[str]) -> Mapping[str, T]:
    if not any(id_ in values for id_ in ids):
        return values
    return {id_: value for id_, value in values.items() if id_ not in ids}
