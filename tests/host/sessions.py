"""States of a session, and its decisions, without files, clocks or tasks."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from attrs import define, field

from nanoclaw.records import Address
from nanoclaw.session.core import decide
from nanoclaw.session.decisions import Effect, Finish, Settle, Step, TellOfDelay
from nanoclaw.session.events import Committed, DelayTold, Event, FinishCommitted
from nanoclaw.session.finishing import AttemptEnded
from nanoclaw.session.rules import Rules
from nanoclaw.session.state import Moment, SessionState
from nanoclaw.session.transactions import SettlementOutcome, StoredSession
from nanoclaw.store.session.deliveries import LedgerEntry
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import Ack, AckStatus, Look, MessageOut

START = datetime(2026, 1, 1, tzinfo=UTC)
CHAT = Address("fake", "chat")
RULES = Rules(
    retry_base_s=5.0,
    max_tries=3,
    idle_s=600.0,
    slow_poll_s=30.0,
    runner_backoff_s=1.0,
    delivery_backoff_s=(1.0, 2.0),
    zone="UTC",
    chat=CHAT,
    repeat=lambda _channel: "again",
)
T = TypeVar("T")


def message(seq: int = 2, tries: int = 0, after_s: float | None = None) -> OpenMessage:
    after = None if after_s is None else START + timedelta(seconds=after_s)
    return OpenMessage(f"in-{seq}", seq, tries, after, True, CHAT, f"p-{seq}")  # noqa: FBT003 -- trigger


def row(seq: int = 1, reply_to: str | None = None) -> MessageOut:
    return MessageOut(f"out-{seq}", seq, "chat", CHAT, '{"text": "hi"}', reply_to, None)


def ack(status: AckStatus, seq: int = 2, attempt: int = 0) -> Ack:
    return Ack(f"in-{seq}", status, attempt, None, None)


def look(*rows: MessageOut, acks: Sequence[Ack] = (), more: bool = False, outdated: bool = False) -> Look:
    return Look(rows, (), tuple(acks), 0.0, more=more, outdated=outdated)


@define(eq=False)
class Session:
    """A session whose events a test makes. Commits succeed unless the test handles them itself."""

    state: SessionState
    at_s: float = 0.0
    effects: list[Effect] = field(factory=list)
    """The effects of the last event."""

    @classmethod
    def initial(
        cls, *messages: OpenMessage, ledger: Sequence[LedgerEntry] = (), rules: Rules = RULES
    ) -> "Session":
        memory = StoredSession(list(messages), list(ledger), {}, 0, 0, frozenset())
        return cls(SessionState.initial(memory, rules, "active", 0.0))

    def runner(self) -> object:
        """The runner's condition."""
        return self.state.runner.condition

    def file(self) -> object:
        """The outbound file, as of the last look."""
        return self.state.outbound.file

    def meets(self, event: Event) -> Step | None:
        """Handle one event. Return the next step."""
        now = Moment(START + timedelta(seconds=self.at_s), self.at_s)
        decisions = decide(self.state, event, now)
        self.state, self.effects = decisions.state, list(decisions.effects)
        return decisions.step

    def settles(self, event: Event) -> Step | None:
        """Handle one event and commit its steps. Return the first step that is not a commit."""
        step, effects = self.meets(event), self.effects
        while isinstance(step, Settle | Finish | TellOfDelay):
            step = self.meets(self._committed(step))
            effects += self.effects
        self.effects = effects
        return step

    @staticmethod
    def _committed(step: Settle | Finish | TellOfDelay) -> Event:
        match step:
            case Settle():
                return Committed(step, SettlementOutcome())
            case Finish():
                return FinishCommitted(step, AttemptEnded(begun=step.begun is not None))
            case _:
                return DelayTold(())

    def said(self, kind: type[T]) -> list[T]:
        """Return the effects of that kind of the last event."""
        return [each for each in self.effects if isinstance(each, kind)]
