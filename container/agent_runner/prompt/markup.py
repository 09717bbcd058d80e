"""Builds XML out of texts that anybody wrote. No text can open or close one of our tags."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from agent_runner.text import clean

LONGEST_ATTRIBUTE = 200
"""Characters."""
_REPLACED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e\ufffe\uffff\U000e0000-\U000e007f]")
"""Characters that XML forbids, and two kinds that hide text from people: bidi overrides, and tag characters.

Joiners, direction marks and isolates stay: emoji, Arabic, Hebrew and Indian scripts need them.
"""


def plain(text: object) -> str:
    """Return text that XML can carry. A character that it cannot carry, or that hides text, is U+FFFD."""
    return _REPLACED.sub("\ufffd", clean(str(text)).replace("\r\n", "\n").replace("\r", "\n"))


def cut(text: str, longest: int) -> str:
    """Shorten a text to about `longest` characters. What is left out is in the middle, with a note."""
    if len(text) <= longest:
        return text
    head, tail = longest - longest // 3, longest // 3
    note = f"[… {len(text) - head - tail:,} characters left out …]"
    return f"{text[:head]}\n{note}\n{text[len(text) - tail :]}"


def body(text: object, longest: int) -> str:
    """Return a text as the content of an element."""
    return escape(plain(cut(str(text), longest)), quote=False)


def element(tag: str, content: str = "", **attributes: object) -> str:
    """Return an element. `content` is XML already. Attributes that are None or empty are left out."""
    written = "".join(
        f" {name}={_attribute(value)}" for name, value in attributes.items() if value not in (None, "")
    )
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def block(tag: str, parts: Iterable[str], **attributes: object) -> str:
    """Return an element with each part on lines of its own, or nothing where there are no parts."""
    lines = [part for part in parts if part]
    return element(tag, "\n" + "\n".join(lines) + "\n", **attributes) if lines else ""


def share(sizes: Sequence[int], most: int, longest: int) -> int:
    """Return the length to which each text may grow, so that all of them together have at most `most`."""
    left = most
    for index, size in enumerate(sorted(sizes)):
        fair = left // (len(sizes) - index)
        if size > fair:
            return min(longest, fair)
        left -= size
    return longest


def _attribute(value: object) -> str:
    words = " ".join(plain(str(value)[: 4 * LONGEST_ATTRIBUTE]).split())
    return f'"{escape(words if len(words) <= LONGEST_ATTRIBUTE else words[: LONGEST_ATTRIBUTE - 1] + "…")}"'
