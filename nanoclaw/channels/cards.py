"""Renders cards as text, for channels without buttons."""

from nanoclaw.records import (
    CardContent,
    EditContent,
    OutgoingContent,
    QuestionContent,
    ReactionContent,
    TextContent,
)


def as_text(content: OutgoingContent) -> TextContent | EditContent | ReactionContent:
    """Return a card as text with numbered options. Return any other content unchanged."""
    match content:
        case QuestionContent():
            return TextContent(_question(content))
        case CardContent():
            return TextContent(content.fallback_text)
        case _:
            return content


def _question(content: QuestionContent) -> str:
    options = (f"{n}. {option.label}" for n, option in enumerate(content.options, 1))
    return "\n".join([content.title, content.text, *options, "Answer with a number."])
