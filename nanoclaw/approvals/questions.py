"""A question from its card to its answer: recorded before anybody sees it, taken away by its first answer."""

from actors import Ref
from nanoclaw.content import BadContent, dump_options, load_options
from nanoclaw.records import Address, Option, PendingQuestion, QuestionContent
from nanoclaw.registry import CreateQuestion, DeleteQuestion, Registry
from nanoclaw.store import NotFound, Reader, pending_questions


class QuestionRefused(Exception):
    """It cannot be asked; the text says why."""


async def record(  # noqa: PLR0913 -- what a question is
    central: Reader,
    registry: Ref[Registry],
    *,
    session_id: str,
    message_out_id: str,
    address: Address,
    question: QuestionContent,
) -> None:
    """Note that it waits for an answer, once for each row: a card is sent again after a crash.

    Raises:
        QuestionRefused: another question of that id waits.
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
        raise QuestionRefused(f"another question waits under the questionId {question.question_id!r}")


async def withdraw(registry: Ref[Registry], question_id: str) -> None:
    """Take it away: it is answered, or was never shown. One that does not wait is no error.

    Raises:
        ActorError, StoreError: that could not be stored.
    """
    try:
        await registry.ask(DeleteQuestion(question_id))
    except NotFound:
        return


def chosen(question: PendingQuestion, value: str) -> str | None:
    """The option's value, if the question has such a one."""
    return next((option.value for option in _options(question) if option.value == value), None)


def named(question: PendingQuestion, text: str) -> str | None:
    """The value of the option that somebody names in words: by its number, its label or its value."""
    words = text.strip().casefold()
    for n, option in enumerate(_options(question), 1):
        if words in {str(n), option.label.casefold(), option.value.casefold()}:
            return option.value
    return None


def _options(question: PendingQuestion) -> tuple[Option, ...]:
    try:
        return load_options(list(question.options))
    except BadContent:  # another program wrote the row
        return ()
