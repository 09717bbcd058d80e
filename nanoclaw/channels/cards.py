"""Cards in the words of a channel that shows none."""

from nanoclaw.records import (
    CardContent,
    EditContent,
    OutgoingContent,
    QuestionContent,
    ReactionContent,
    TextContent,
)


def as_text(content: OutgoingContent) -> TextContent | EditContent | ReactionContent:
    """A card as text, its buttons numbered; any other content as it is."""
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
