"""Writes text of agents so that whoever reads a card sees each character of it.

An agent may be hostile. It could hide a word behind a bidirectional mark, begin a line that looks like one of
the host, or write a command with letters of another alphabet.
"""

import shlex
import unicodedata
from collections.abc import Iterable

LONGEST_REASON = 500
"""Limit of a reason, in characters."""
_BREAKS = {"\n": " ⏎ ", "\t": " ⇥ "}
_UNSEEN = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    ]
)
"""Characters without a shape whose category does not say so: fillers and selectors of variants."""
_MARKS = 2
"""Marks above or below one letter that are shown. More would cover the lines around it."""


def visible(text: str) -> str:
    """Return a text in one line, with `<U+…>` in the place of each character that is not seen as itself.

    These are control and format characters, bidirectional marks, unusual spaces, unassigned characters,
    fillers, and more than two marks on one letter.
    """
    shown, marks = list[str](), 0
    for each in text.replace("\r\n", "\n"):
        marks = marks + 1 if unicodedata.combining(each) else 0
        shown.append(_BREAKS.get(each) or (_escaped(each) if _is_unseen(each) or marks > _MARKS else each))
    return "".join(shown)


def exact(text: str) -> str:
    """Return a text as `visible` does, with all characters outside of ASCII escaped.

    It is for what a machine reads: a program, an address, a variable.
    """
    return "".join(each if each.isascii() else _escaped(each) for each in visible(text))


def command(words: Iterable[str]) -> str:
    """Return a command with each of its words quoted as a shell needs it, so that their ends are seen."""
    return exact(shlex.join(words))


def lines(text: str) -> str:
    """Return a text of several lines, each visible and set off by a bar, so that no line passes as ours."""
    return "\n".join(f"│ {visible(line)}" for line in text.replace("\r\n", "\n").split("\n"))


def _is_unseen(character: str) -> bool:
    if character == " ":
        return False
    return unicodedata.category(character)[0] in "CZ" or ord(character) in _UNSEEN


def _escaped(character: str) -> str:
    return f"<U+{ord(character):04X}>"
