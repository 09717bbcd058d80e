"""Messages to the registry about questions: asked, chosen, closed, and what their cards show."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from nanoclaw.records import (
    QUESTION_EXPIRES_S,
    Address,
    Answerer,
    ClosedQuestion,
    Closing,
    PendingQuestion,
)
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import (
    answering_messages,
    closed_questions,
    pending_approvals,
    pending_questions,
    users,
)

APPROVAL = "appr-"
"""The beginning of the ids of approvals. Their cards are answered as questions are."""
MAX_WAITING = 100
"""Limit of waiting questions in one session. It bounds the table if users do not answer."""
MAX_CARD = 3_000
"""Limit in characters of a question, and of an answer, on a card that shows the end of its question."""


@frozen
class CreateQuestion(CheckedMessage):
    """Record a card with buttons that an agent sent."""

    question_id: str
    session_id: str
    message_out_id: str
    address: Address | None
    title: str
    options: Sequence[object]
    question: str = ""
    who: Answerer = "member"
    asker: str | None = None
    multiple: bool = False
    free_text: bool = False
    expires_s: int | None = QUESTION_EXPIRES_S
    """Seconds until it expires; None: never."""

    async def handle(self, actor: Registry) -> bool:
        """Insert the question. Return False if it exists. Above `MAX_WAITING` the oldest ones are deleted."""
        new = await actor.commit(self._create, self._row(actor.clock.now()))
        actor.changes.tell_questions()
        return new

    def _row(self, now: datetime) -> PendingQuestion:
        where = self.address
        return PendingQuestion(
            self.question_id,
            self.session_id,
            self.message_out_id,
            where.platform_id if where else None,
            where.channel_type if where else None,
            where.thread_id if where else None,
            self.title,
            self.options,
            now,
            self.question,
            self.who,
            self.asker,
            self.multiple,
            self.free_text,
            None if self.expires_s is None else now + timedelta(seconds=self.expires_s),
        )

    def _create(self, connection: Connection, question: PendingQuestion) -> bool:
        """Insert the question. Raise `NotAllowed` if its id could be that of an approval."""
        id_ = self.question_id
        if id_.startswith(APPROVAL) or pending_approvals.get(connection, id_) is not None:
            raise NotAllowed(f"questionId {id_!r:.100} is kept for approvals; choose another")
        new = pending_questions.create(connection, question)
        if new:
            closed_questions.forget(connection, self.question_id)
        pending_questions.forget_oldest(connection, self.session_id, keep=MAX_WAITING)
        return new


@frozen
class DeleteQuestion(CheckedMessage):
    """Delete a question that nobody has seen."""

    question_id: str

    async def handle(self, actor: Registry) -> PendingQuestion:
        """Delete and return it. Raise `NotFound` if it is not waiting."""
        return await actor.commit(pending_questions.delete, self.question_id)


@frozen
class CloseQuestion(CheckedMessage):
    """Close a question: it takes no answer any more."""

    closing: Closing

    async def handle(self, actor: Registry) -> PendingQuestion:
        """Close and return it. Raise `NotFound` if it is not waiting."""
        closed = await actor.commit(close, self.closing, actor.clock.now())
        actor.changes.tell_questions()
        return closed


@frozen
class ChooseOption(CheckedMessage):
    """Choose an option of a question that allows several, or take the choice back."""

    question_id: str
    value: str
    click_id: str

    async def handle(self, actor: Registry) -> PendingQuestion:
        """Return the changed question. Raise `NotFound` if it is not waiting."""
        changed = await actor.commit(pending_questions.choose, self.question_id, self.value, self.click_id)
        actor.changes.tell_questions()
        return changed


@frozen
class NoteCard(CheckedMessage):
    """Store the platform's id of the card of a question. It may be closed already."""

    question_id: str
    message_out_id: str
    platform_message_id: str

    async def handle(self, actor: Registry) -> None:
        """Store it."""
        await actor.commit(self._note)
        actor.changes.tell_questions()

    def _note(self, connection: Connection) -> None:
        what = self.question_id, self.message_out_id, self.platform_message_id
        pending_questions.note_card(connection, *what)
        closed_questions.note_card(connection, *what)


@frozen
class NoteCardShown(CheckedMessage):
    """Store what the card of a question shows: a version of its choices, or its end."""

    question_id: str
    version: int | None
    """None: its end."""

    async def handle(self, actor: Registry) -> None:
        """Store it. An unknown question is ignored."""
        await actor.commit(self._note)

    def _note(self, connection: Connection) -> None:
        if self.version is None:
            closed_questions.note_shown(connection, self.question_id)
        else:
            pending_questions.note_shown(connection, self.question_id, self.version)


@frozen
class DateBackQuestions:
    """Let questions keep the length of their lives after the date was set back."""

    async def handle(self, actor: Registry) -> None:
        """Change the dates."""
        await actor.commit(pending_questions.date_back, actor.clock.now())


def close(connection: Connection, closing: Closing, now: datetime) -> PendingQuestion:
    """Delete a question that is waiting, and keep how it ended.

    Raises:
        NotFound: it is not waiting.
    """
    question = pending_questions.delete(connection, closing.question_id)
    if closing.message_id is not None:
        answering_messages.note(connection, closing.message_id, now)
    name = None if closing.by is None else users.name_of(connection, closing.by)
    closed_questions.put(
        connection,
        ClosedQuestion(
            question.question_id,
            question.message_out_id,
            question.channel_type,
            question.platform_id,
            question.thread_id,
            now,
            closing.how,
            closing.by,
            closing.answer[:MAX_CARD],
            "\n".join(_card(question, closing, name)),
            question.platform_message_id,
        ),
    )
    return question


def _card(question: PendingQuestion, closing: Closing, name: str | None) -> Iterable[str]:
    """Yield the lines of the card of a question that is closed."""
    yield question.title
    if question.question:
        yield question.question[:MAX_CARD]
    match closing.how:
        case "answered":
            by = f" ({name})" if name else ""
            yield f"Answer: {closing.answer[:MAX_CARD]}{by}" if closing.answer else f"Answered{by}"
        case "expired":
            yield "Expired: nobody answered in time"
        case "withdrawn":
            yield "Withdrawn: no answer is needed any more"
