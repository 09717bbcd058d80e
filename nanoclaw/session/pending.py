"""What is open in a session and what becomes of it: the rules of contract 4 (Status, Retry) as plain values.

Nothing here reads or writes a file: acks and the date go in, outcomes come out, and the actor commits them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from attrs import Factory, define, evolve, frozen

from nanoclaw.config import Config
from nanoclaw.store.messages_in import OpenMessage
from nanoclaw.store.outbound import Ack

MAX_LOOKED_AT = 1000
"""Acks are read for so many at a time; a runner takes 200 a turn, and closes older context with it."""


@frozen
class Completed:
    """A turn consumed it. `began`: when the runner was first seen at work on it, at this try."""

    message: OpenMessage
    began: datetime | None = None


@frozen
class Failed:
    """It was tried too often, or the runner gave it up; the user is to be told."""

    message: OpenMessage
    reason: str


@frozen
class Retry:
    """Another try, not before `after`."""

    message: OpenMessage
    tries: int
    after: datetime
    reason: str


Verdict = Completed | Failed | Retry


@define(eq=False)
class Pending:
    """The pending messages of a session, in order of arrival."""

    retry_base_s: float
    max_tries: int
    messages: dict[str, OpenMessage] = Factory(dict)
    claimed: dict[str, datetime] = Factory(dict)
    """Those that the runner works on now, in order, and since when it was seen to."""
    _seen: dict[str, str | None] = Factory(dict)
    """The claims of the last look, by message."""
    _inherited: dict[str, str | None] = Factory(dict)
    """Those that were there before the runner was started."""

    @classmethod
    def of(cls, messages: Iterable[OpenMessage], config: Config) -> "Pending":
        """What a session finds when it is born."""
        pending = cls(config.retry_base_s, config.max_tries)
        pending.add(messages)
        return pending

    def add(self, messages: Iterable[OpenMessage]) -> None:
        """Messages that are on disk now."""
        self.messages.update((message.id, message) for message in messages)

    def remove(self, ids: Iterable[str]) -> None:
        """Messages that nobody waits for any more."""
        for id_ in ids:
            self.messages.pop(id_, None)
            self.claimed.pop(id_, None)

    def ids(self, now: datetime) -> Sequence[str]:
        """Whose acks are to be read: a runner takes what is due; an answer also before its next try.

        Then a turn that is told again takes what it has asked for before. Context comes last, for no turn is
        without a message that starts it: of those the oldest are among the first.
        """
        taken = [
            message
            for id_, message in self.messages.items()
            if id_ in self.claimed or message.tries or message.due(now)
        ]
        taken.sort(key=lambda message: not message.trigger)
        return [message.id for message in taken[:MAX_LOOKED_AT]]

    @property
    def are_many(self) -> bool:
        """Whether one look may not see the acks of all."""
        return len(self.messages) > MAX_LOOKED_AT

    def rests(self) -> bool:
        """Whether nothing is open but context, which waits for the next message."""
        return not any(message.trigger for message in self.messages.values())

    def waiting(self, now: datetime) -> list[OpenMessage]:
        """Those that somebody waits for, and that a runner should have, in order of arrival."""
        return [message for message in self.messages.values() if message.awaits_answer and message.due(now)]

    def has_missed(self, before: datetime) -> bool:
        """Whether something that is not to be run late was due before a moment, and nobody has taken it."""
        return any(
            message.expires and not message.tries and message.id not in self.claimed
            for message in self.messages.values()
            if message.process_after is not None and message.process_after < before
        )

    def wanted(self, now: datetime) -> bool:
        """Whether there is work for a runner now."""
        return any(message.trigger and message.due(now) for message in self.messages.values())

    def next_due(self, now: datetime) -> datetime | None:
        """When there will be."""
        later = [m.process_after for m in self.messages.values() if m.trigger and m.process_after]
        return min((due for due in later if due > now), default=None)

    def judge(self, acks: Iterable[Ack], now: datetime) -> list[Verdict]:
        """What the runner's acks of the current attempts decide."""
        verdicts, before = list[Verdict](), dict(self.claimed)
        self.claimed.clear()
        self._seen.clear()
        for ack in acks:
            message = self.messages.get(ack.message_id)
            if message is None or ack.attempt not in {None, message.tries}:
                continue
            began = before.get(message.id, now)
            if ack.status == "processing":
                self.claimed[message.id] = began
                self._seen[message.id] = ack.changed
            else:
                verdicts.append(self._verdict(message, ack, began, now))
        return verdicts

    def _verdict(self, message: OpenMessage, ack: Ack, began: datetime, now: datetime) -> Verdict:
        match ack.status:
            case "completed":
                return Completed(message, began)
            case "released":
                return self._again(message, now, ack.error or "the provider gave it back", ack.retry_at)
            case _:
                return Failed(message, ack.error or "the agent could not handle it")

    def begin_runner(self) -> None:
        """A runner starts: the claims seen so far are those of one before it, until it makes them again."""
        self._inherited = dict(self._seen)

    def own_claims(self) -> Sequence[str]:
        """Ids of what this runner has claimed itself."""
        seen, inherited = self._seen, self._inherited
        return [id_ for id_ in self.claimed if id_ not in inherited or inherited[id_] != seen.get(id_)]

    def judge_death(self, reason: str, now: datetime) -> list[Verdict]:
        """What a runner's death decides for what it had claimed; only after its last acks were judged.

        What it inherited costs no try: it died with the host, or of a stop, and its turn may still be
        committed by a runner that is on its way out.
        """
        owned = [self.messages[id_] for id_ in self.own_claims() if id_ in self.messages]
        return [self._again(message, now, reason, None) for message in owned]

    def _again(self, message: OpenMessage, now: datetime, reason: str, at: datetime | None) -> Verdict:
        tries = message.tries + 1
        if tries >= self.max_tries:
            return Failed(message, reason)
        back_off = now + timedelta(seconds=self.retry_base_s * 2**tries)
        return Retry(message, tries, max(at or back_off, back_off), reason)

    def apply(self, verdicts: Iterable[Verdict]) -> None:
        """Follow what was committed."""
        for verdict in verdicts:
            self.claimed.pop(verdict.message.id, None)
            if isinstance(verdict, Retry):
                again = evolve(verdict.message, tries=verdict.tries, process_after=verdict.after)
                self.messages[again.id] = again
            else:
                self.messages.pop(verdict.message.id, None)
