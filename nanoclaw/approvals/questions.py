"""The life of a question. It is recorded before its card is sent; the first answer closes it."""

import re
from collections.abc import Iterable
from contextlib import suppress

from attrs import frozen

from actors import Ref
from nanoclaw.records import Address, Closing, Option, PendingQuestion, QuestionContent
from nanoclaw.records.content import BadContent, dump_options, load_options, load_request
from nanoclaw.registry import CloseQuestion, CreateQuestion, DeleteQuestion, Registry
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
        question.question_id,
        session_id,
        message_out_id,
        address,
        question.title,
        options,
        question.text,
        question.who,
        question.asker,
        question.multiple,
        question.free_text,
        question.expires_s,
    )
    if there is not None or not await registry.ask(create):
        raise QuestionRefused(
            f"questionId {question.question_id!r} is used by a waiting question; choose another"
        )


async def withdraw(registry: Ref[Registry], question_id: str) -> None:
    """Delete a question whose card was never shown. An unknown id is ignored.

    Raises:
        ActorError, StoreError: the change could not be stored.
    """
    with suppress(NotFound):
        await registry.ask(DeleteQuestion(question_id))


async def close(registry: Ref[Registry], closing: Closing) -> None:
    """Close a question: its card shows the end, and late clicks are told of it. An unknown id is ignored.

    Raises:
        ActorError, StoreError: the change could not be stored.
    """
    with suppress(NotFound):
        await registry.ask(CloseQuestion(closing))


def closing_of(question: QuestionContent, answer: str) -> Closing:
    """Return how a question was closed by an answer that is stored: its content, as JSON."""
    try:
        content = load_request(answer)
    except BadContent:  # the session's file was changed by another program
        return Closing(question.question_id, "answered")
    if content.get("expired") or content.get("withdrawn"):
        return Closing(question.question_id, "expired" if content.get("expired") else "withdrawn")
    labels = {option.value: option.selected_label for option in question.options}
    chosen = content.get("selectedOptions")
    values = chosen if isinstance(chosen, list) else [content.get("selectedOption")]
    words = ", ".join(labels.get(value, value) for value in values if isinstance(value, str))
    by = content.get("userId")
    return Closing(question.question_id, "answered", by if isinstance(by, str) else None, words)


@frozen
class Given:
    """What a user gives as an answer: options, or a text of their own."""

    options: tuple[Option, ...] = ()
    text: str | None = None

    @property
    def words(self) -> str:
        """Return the answer for people."""
        return ", ".join(each.selected_label for each in self.options) if self.text is None else self.text


def given_by_value(question: PendingQuestion, *values: object) -> Given | None:
    """Return the options with these values, in the order of the card; None if there is no such option."""
    options = options_of(question)
    if not set(values) <= {option.value for option in options}:
        return None
    return Given(tuple(option for option in options if option.value in values))


def given_by_text(question: PendingQuestion, text: str, *, numbered: bool) -> Given | None:
    """Return the answer that a message gives, or None if it is none.

    A message names options by label or value, where they were numbered also by number. Where several may be
    chosen, commas separate them. Any other text is an answer if the question takes one. Commands never are.
    """
    options = options_of(question)
    if one := named(options, text, numbered=numbered):
        return Given((one,))
    parts = [part for part in re.split(r"[,;\n]", text) if part.strip()]
    found = [named(options, part, numbered=numbered) for part in parts] if question.multiple else []
    if found and all(found):
        return Given(tuple(option for option in options if option in found))
    is_text = question.free_text and text.strip() and not text.lstrip().startswith("/")
    return Given(text=text.strip()) if is_text else None


def named(options: Iterable[Option], text: str, *, numbered: bool) -> Option | None:
    """Return the option that a text names by its label or value, or by its number, or None."""
    words = text.strip().casefold()
    for n, option in enumerate(options, 1):
        if words in {option.label.casefold(), option.value.casefold()} or (numbered and words == str(n)):
            return option
    return None


def options_of(question: PendingQuestion) -> tuple[Option, ...]:
    """Return the options of a question; none if another program wrote an invalid row."""
    try:
        return load_options(list(question.options)) if question.options else ()
    except BadContent:
        return ()
