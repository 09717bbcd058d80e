"""Renders cards: as text for channels without buttons, and with marks where several options may be chosen."""

from collections.abc import Container

from attrs import evolve

from nanoclaw.records import (
    DONE,
    CardContent,
    CardEditContent,
    EditContent,
    Option,
    OutgoingContent,
    QuestionContent,
    ReactionContent,
    TextContent,
)

MARKS = ("☐ ", "☑ ")
"""The beginning of the label of an option that is not chosen, and of one that is."""


def as_text(content: OutgoingContent) -> TextContent | EditContent | ReactionContent:
    """Return a card as text with numbered options. Return any other content unchanged."""
    match content:
        case QuestionContent():
            return TextContent(_question(content))
        case CardEditContent():
            return EditContent(content.message_id, _question(content.question))
        case CardContent():
            return TextContent(content.fallback_text)
        case _:
            return content


def shortened(label: str, longest: int) -> str:
    """Return the label of a button, cut to a number of characters."""
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def _question(content: QuestionContent) -> str:
    options = (f"{n}. {option.label}" for n, option in enumerate(content.options, 1))
    return "\n".join([content.title, content.text, *options, _how(content)])


def _how(content: QuestionContent) -> str:
    """Return how to answer in a chat without buttons."""
    if content.code:
        return f"Answer with a number and the code {content.code}, such as: 1 {content.code}"
    if not content.options:
        return "Answer with a message."
    numbers = "numbers, such as 1, 2" if content.multiple else "a number"
    return f"Answer with {numbers}, or in your own words." if content.free_text else f"Answer with {numbers}."


def with_marks(question: QuestionContent, chosen: Container[object]) -> QuestionContent:
    """Return a card whose buttons show which options are chosen, with a last button that ends the choice."""
    marked = (
        evolve(option, label=f"{MARKS[option.value in chosen]}{option.label}") for option in question.options
    )
    return evolve(question, options=(*marked, Option("Done", "Done", DONE)))
