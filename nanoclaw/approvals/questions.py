"""The life of a question. It is recorded before its card is sent; the first answer deletes it."""

from collections.abc import Sequence

from actors import Ref
from nanoclaw.records import Address, Option, PendingQuestion, QuestionContent
from nanoclaw.records.content import BadContent, dump_options, load_options
from nanoclaw.registry import CreateQuestion, DeleteQuestion, Registry
from nanoclaw.store import NotFound, Reader
from nanoclaw.store.central import pending_questions


class QuestionRefused(Exception):
    """The question cannot be asked. The text says why."""


async def record(  # noqa: PLR0913 -- what a question is
    central: Reader,
    registry: Ref[Registry],
    *,
    session_id: str,
    message_out_id: str,
    address: Address,
    question: QuestionContent,
) -> None:
    """Record a question before its card is sent. A card that is sent again after a crash changes nothing.

    Raises:
        QuestionRefused: another question with this id is waiting.
        ActorError, StoreError, Refusal: it could not be stored.
    """
    there = await central.run(pending_questions.get, question.question_id)
    if there is not None and (there.session_id, there.message_out_id) == (session_id, message_out_id):
        return
    options = dump_options(question.options)
    create = CreateQuestion(
        question.question_id, session_id, message_out_id, address, question.title, options
    )
    if there is not None or not await registry.ask(create):
        raise QuestionRefused(
            f"questionId {question.question_id!r} is used by a waiting question; choose another"
        )


async def withdraw(registry: Ref[Registry], question_id: str) -> None:
    """Delete a question that is answered, or whose card was never shown. An unknown id is ignored.

    Raises:
        ActorError, StoreError: the change could not be stored.
    """
    try:
        await registry.ask(DeleteQuestion(question_id))
    except NotFound:
        return


def option_by_value(question: PendingQuestion, value: str) -> str | None:
    """Return the value if the question has such an option, else None."""
    return next((option.value for option in _options(question.options) if option.value == value), None)


def option_by_text(options: Sequence[object], text: str) -> str | None:
    """Return the value of the option that a text names by its number, label or value, or None."""
    words = text.strip().casefold()
    for n, option in enumerate(_options(options), 1):
        if words in {str(n), option.label.casefold(), option.value.casefold()}:
            return option.value
    return None


def _options(options: Sequence[object]) -> tuple[Option, ...]:
    try:
        return load_options(list(options))
    except BadContent:  # another program wrote an invalid row
        return ()
