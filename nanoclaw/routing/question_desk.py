"""The desk of questions: it ends those that expire, and has cards show what is chosen and how they ended.

It owns no state but the retries of this run: what has to be done is in `v2.db`. So it goes on after a crash.
An expiry takes the way of a click: the session stores it before the question is closed, and of an expiry and
a click only the first counts. A card is edited until the channel confirms it, refuses it, or a day is over.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import structlog
import trio
from attrs import Factory, define, field, frozen

from actors import ActorError, Ref
from nanoclaw.approvals import close, options_of
from nanoclaw.channels.cards import with_marks
from nanoclaw.channels.chat_sender import OutcomeUnknown
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.senders import Senders
from nanoclaw.records import (
    Address,
    Answer,
    CardEditContent,
    ClosedQuestion,
    Closing,
    EditContent,
    Outgoing,
    PendingQuestion,
    QuestionContent,
)
from nanoclaw.records.content import dump_parked
from nanoclaw.registry import Changes, DateBackQuestions, NoteCardShown, ParkEvent, Registry
from nanoclaw.session import Conversation, SessionDown, Sessions
from nanoclaw.session.conversations import conversation
from nanoclaw.store import Connection, DamagedRow, NotFound, Reader, StoreError
from nanoclaw.store.central import closed_questions, pending_questions, sessions
from nanoclaw.system.clock import Clock

AGAIN_S, AGAIN_AT_MOST_S = 5.0, 600.0
"""Delay in seconds before an edit is tried again. It doubles up to the limit."""
GIVE_UP_AFTER = timedelta(days=1)
"""How long the end of a question is offered to a channel that is down."""
LONGEST_SLEEP_S = 3600.0

_log = structlog.get_logger()


@frozen
class _Edit:
    """A card, and what it has to show."""

    question_id: str
    version: int | None
    """The version of the choice; None for the end of the question."""
    outgoing: Outgoing
    closed_at: datetime | None = None


@frozen
class _Work:
    """What there is to do. `ahead`: the date was set back."""

    ahead: bool
    overdue: list[PendingQuestion]
    next_expiry: datetime | None
    edits: list[_Edit]


def _work(connection: Connection, now: datetime) -> _Work:
    chosen = (_choice(each) for each in pending_questions.with_old_cards(connection))
    ended = (_end(each) for each in closed_questions.with_old_cards(connection))
    return _Work(
        pending_questions.is_ahead(connection, now),
        pending_questions.overdue(connection, now),
        pending_questions.next_expiry(connection),
        [*chosen, *ended],
    )


def _choice(question: PendingQuestion) -> _Edit:
    card = QuestionContent(
        question.question_id, question.title, question.question, options_of(question), multiple=True
    )
    content = CardEditContent(question.platform_message_id or "", with_marks(card, question.chosen))
    key = f"question-{question.message_out_id}-{question.version}"
    return _Edit(question.question_id, question.version, Outgoing(key, _place(question), content))


def _end(closed: ClosedQuestion) -> _Edit:
    content = EditContent(closed.platform_message_id or "", closed.card or "")
    outgoing = Outgoing(f"question-{closed.message_out_id}-end", _place(closed), content)
    return _Edit(closed.question_id, None, outgoing, closed.closed_at)


def _place(question: PendingQuestion | ClosedQuestion) -> Address:
    return Address(question.channel_type or "", question.platform_id or "", question.thread_id)


@frozen
class _Retry:
    """An edit that has failed."""

    at: float
    """When it is tried again, on trio's clock."""
    delay_s: float


@define(eq=False)
class QuestionDesk:
    """Ends questions and edits their cards."""

    _central: Reader
    _registry: Ref[Registry]
    _changes: Changes
    _sessions: Sessions
    _senders: Senders
    _clock: Clock
    _editing: set[str] = field(init=False, factory=set)
    """The questions whose cards are being edited."""
    _retries: dict[str, _Retry] = field(init=False, default=Factory(dict))

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    wait_s = await self._round(nursery)
                except (StoreError, ActorError) as error:
                    _log.warning("questions.not_read", reason=str(error), again_in_s=AGAIN_S)
                    wait_s = AGAIN_S
                with trio.move_on_after(wait_s):
                    await self._changes.questions_changed()

    async def _round(self, nursery: trio.Nursery) -> float:
        """Do what is due. Return the seconds until there may be more to do."""
        work = await self._central.run(_work, self._clock.now())
        if work.ahead:
            await self._registry.ask(DateBackQuestions())
            return 0.0
        for question in work.overdue:
            await self._expire(question)
        for edit in work.edits:
            if edit.question_id not in self._editing and not self._waits(edit):
                self._editing.add(edit.question_id)
                nursery.start_soon(self._edit, edit)
        waiting = {edit.question_id for edit in work.edits}
        self._retries = {id_: retry for id_, retry in self._retries.items() if id_ in waiting}
        return max(0.0, min(self._waits_s(work)))

    def _waits(self, edit: _Edit) -> bool:
        retry = self._retries.get(edit.question_id)
        return retry is not None and retry.at > trio.current_time()

    def _waits_s(self, work: _Work) -> Iterator[float]:
        yield AGAIN_S if work.overdue else LONGEST_SLEEP_S
        if work.next_expiry is not None and not work.overdue:
            yield (work.next_expiry - self._clock.now()).total_seconds() + 0.001
        for id_, retry in self._retries.items():
            if id_ not in self._editing:
                yield retry.at - trio.current_time()

    # -- expiry

    async def _expire(self, question: PendingQuestion) -> None:
        """Tell the agent that nobody answers, then close the question."""
        _log.info("questions.expired", question=question.question_id, session=question.session_id)
        closing = Closing(question.question_id, "expired")
        who = await self._central.run(_conversation, question)
        if who is None:
            await close(self._registry, closing)
            return
        out, id_ = question.message_out_id, question.question_id
        answer = Answer(out, id_, "", "", _place(question), expired=True)
        try:
            new = await self._sessions.accept(who, answer)
        except SessionDown as error:
            await self._park(who, answer, closing, str(error))
            return
        await close(self._registry, closing if new else Closing(id_, "answered"))

    async def _park(self, who: Conversation, answer: Answer, closing: Closing, reason: str) -> None:
        try:
            await self._registry.ask(ParkEvent(who.session.id, dump_parked(answer), reason, closing))
        except NotFound:
            return
        self._sessions.replay(who)

    # -- cards

    async def _edit(self, edit: _Edit) -> None:
        """Have the channel show one state of a card, and store that it does."""
        try:
            if await self._delivered(edit):
                await self._registry.ask(NoteCardShown(edit.question_id, edit.version))
                self._retries.pop(edit.question_id, None)
        except (StoreError, ActorError) as error:
            self._again(edit, str(error))
        finally:
            self._editing.discard(edit.question_id)
            self._changes.tell_questions()

    async def _delivered(self, edit: _Edit) -> bool:
        """Return True if there is no more to do: the channel shows the card, or never will."""
        try:
            await self._senders.deliver(edit.outgoing)
        except DeliveryRejected as error:
            _log.info("questions.card_not_edited", question=edit.question_id, reason=str(error))
        except (ChannelUnavailable, OutcomeUnknown) as error:
            if edit.closed_at is None or self._clock.now() < edit.closed_at + GIVE_UP_AFTER:
                self._again(edit, str(error))
                return False
            _log.info("questions.card_not_edited", question=edit.question_id, reason=str(error))
        return True

    def _again(self, edit: _Edit, reason: str) -> None:
        before = self._retries.get(edit.question_id)
        delay_s = AGAIN_S if before is None else min(2 * before.delay_s, AGAIN_AT_MOST_S)
        self._retries[edit.question_id] = _Retry(trio.current_time() + delay_s, delay_s)
        _log.debug("questions.card_waits", question=edit.question_id, reason=reason, again_in_s=delay_s)


def _conversation(connection: Connection, question: PendingQuestion) -> Conversation | None:
    """Return the conversation that waits for the answer; None if it is over or cannot be read."""
    try:
        session = sessions.require(connection, question.session_id)
        return None if session.status == "archived" else conversation(connection, session)
    except (NotFound, DamagedRow):
        return None
