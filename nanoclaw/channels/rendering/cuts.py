"""Finds where a text without structure can be cut: at lines, sentences and words."""

import re
from collections.abc import Callable, Iterator
from unicodedata import combining

Length = Callable[[str], int]
"""Measures a text as a network does. Two texts together must not be longer than the sum of their lengths."""

LEAST = 4
"""A cut of a good kind is taken only if it fills a piece to at least one part in so many."""
AHEAD = 500
"""Characters after the end of a piece in which the end of a link or code is looked for."""
_BREAKS = re.compile(
    r"(?P<kept>`[^`\n]{1,300}`|\[[^\[\]\n]{0,300}\]\([^()\s]{0,500}\)|\*\*[^*\n]{1,300}\*\*)"
    r"|(?P<paragraph>\n[ \t]*\n)|(?P<line>\n)|(?P<sentence>(?<=[.!?…:;])[ \t]+|(?<=[。\uff01\uff1f]))"
    r"|(?P<word>[ \t]+)"
)
_KINDS = ("paragraph", "line", "sentence", "word")
_JOINER, _SELECTOR = "\N{ZERO WIDTH JOINER}", "\N{VARIATION SELECTOR-16}"
_TONES = ("\N{EMOJI MODIFIER FITZPATRICK TYPE-1-2}", "\N{EMOJI MODIFIER FITZPATRICK TYPE-6}")
_LONGEST_CHARACTER = 32
"""Limit, in code points, of what is kept together as one character."""


def cut_text(
    text: str, longest: int, length: Length, again: Callable[[str], str] = lambda _piece: ""
) -> Iterator[str]:
    """Yield a text in pieces, cut at the best places. White space at the cuts is lost.

    `again` returns from a piece what the rest of its last line begins with, such as the mark of a quote.
    """
    prefix, start = "", 0
    while start < len(text):
        end = start + fitting(text, start, longest, length, prefix)
        cut, after = (end, end) if end >= len(text) else _cut(text, start, end)
        piece = f"{prefix}{text[start:cut]}"
        if piece.strip():
            yield piece.rstrip()
        prefix = "" if "\n" in text[cut:after] else again(piece)
        prefix = prefix if length(prefix) * 2 <= longest else ""
        start = after


def cut_hard(text: str, longest: int, length: Length) -> Iterator[str]:
    """Yield a text in pieces as long as possible, cut between characters. Nothing is lost."""
    position = 0
    while position < len(text):
        end = position + fitting(text, position, longest, length)
        end = end if end >= len(text) else _between_characters(text, position, end)
        yield text[position:end]
        position = end


def fitting(text: str, start: int, longest: int, length: Length, prefix: str = "") -> int:
    """Return how many characters from `start` fit after a prefix. It is at least one."""

    def fits(number: int) -> bool:
        return length(f"{prefix}{text[start : start + number]}") <= longest

    low, high = 1, min(max(longest, 1), len(text) - start)
    while high < len(text) - start and fits(high):
        low, high = high, min(high * 2, len(text) - start)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _cut(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where a piece that begins at `start` and ends before `end` ends, and where the next begins."""
    last: dict[str, tuple[int, int]] = {}
    least = start + (end - start) // LEAST
    for found in _BREAKS.finditer(text, start, min(end + AHEAD, len(text))):
        if found.start() > end:
            break
        if found.lastgroup in _KINDS and found.start() > least:
            last[str(found.lastgroup)] = found.span()
    for kind in _KINDS:
        if kind in last:
            return last[kind]
    blank = text.rfind(" ", least + 1, end)
    end = blank if blank > 0 else _between_characters(text, start, end)
    return end, end


def _between_characters(text: str, start: int, end: int) -> int:
    """Return the last place at or before `end` that is not inside of a character of several code points."""
    for place in range(end, max(start, end - _LONGEST_CHARACTER), -1):
        if not _continues(text, place):
            return place
    return end


def _continues(text: str, place: int) -> bool:
    here = text[place]
    joined = here in {_JOINER, _SELECTOR} or text[place - 1] == _JOINER
    return joined or _TONES[0] <= here <= _TONES[1] or combining(here) != 0
