"""Texts of agents as texts of Telegram: plain text with entities, in messages of a limited length."""

from collections.abc import Sequence
from functools import cache

from telegram import MessageEntity
from telegramify_markdown import convert, split_entities
from telegramify_markdown.config import RenderConfig
from telegramify_markdown.entity import MessageEntity as Rendered

from nanoclaw.channels.rendering import pieces, plain_pieces, utf16_units

LONGEST_TEXT = 4096
"""Limit of a message in UTF-16 units."""
LONGEST_CAPTION = 1024
"""Limit of the text under a file."""
MARGIN = 96
"""Units that a piece may grow by when its Markdown is rendered, for example where a table becomes code."""

Said = tuple[str, Sequence[MessageEntity]]
"""A text and its entities."""


@cache
def _config() -> RenderConfig:
    """Return the form of Markdown, without the library's emojis before headings."""
    config = RenderConfig.isolated()
    for name in list(vars(config.markdown_symbol)):
        if name.startswith("heading"):
            setattr(config.markdown_symbol, name, "")
    return config


def messages(text: str, *, markdown: bool, longest: int = LONGEST_TEXT) -> Sequence[Said]:
    """Return the messages that show a text. A text without content gives none."""
    if not markdown:
        return [(part, ()) for part in plain_pieces(text, longest, utf16_units)]
    parts = pieces(text, max(longest - MARGIN, longest // 2), utf16_units)
    return [one for part in parts for one in _rendered(part, longest)]


def _rendered(markdown: str, longest: int) -> Sequence[Said]:
    text, entities = convert(markdown, config=_config())
    return [(part, _entities(found)) for part, found in split_entities(text, entities, longest)]


def _entities(rendered: Sequence[Rendered]) -> Sequence[MessageEntity]:
    return [
        MessageEntity(one.type, one.offset, one.length, url=one.url, language=one.language)
        for one in rendered
        if one.length > 0
    ]


def titled(title: str, text: str) -> Sequence[Said]:
    """Return the messages of a card: its title in bold, and its text as it is."""
    whole = "\n".join(part for part in (title.strip(), text) if part.strip())
    shown = list[Said]((part, ()) for part in plain_pieces(whole, LONGEST_TEXT, utf16_units))
    length = utf16_units(title.strip())
    if length and shown:
        shown[0] = (shown[0][0], (MessageEntity(MessageEntity.BOLD, 0, length),))
    return shown


def tail(text: str, longest: int = LONGEST_TEXT) -> Said:
    """Return a draft: the text so far as far as one message can show it, of a long one the end."""
    is_whole = len(text) <= 4 * longest
    found = messages(text if is_whole else text[-4 * longest :], markdown=True, longest=longest - 2)
    if not found:
        return ("…", ())
    last, entities = found[-1]
    if is_whole and len(found) == 1:
        return last, entities
    moved = [MessageEntity(one.type, one.offset + 1, one.length, url=one.url) for one in entities]
    return f"…{last}", moved
