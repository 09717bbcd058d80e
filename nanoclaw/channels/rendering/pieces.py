"""Splits texts into messages of a limited length, at the places where a person would.

`blocks.py` finds the parts that should stay whole; this module packs them into messages.
"""

from collections.abc import Callable, Iterator, Sequence

from attrs import Factory, define

from nanoclaw.channels.rendering.blocks import Part, parts_of
from nanoclaw.channels.rendering.cuts import Length, cut_text


def utf16_units(text: str) -> int:
    """Return the length of a text in UTF-16 code units, in which several networks count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def pieces(markdown: str, longest: int, length: Length = len) -> Sequence[str]:
    """Return a text in pieces of at most `longest`, as `length` measures. Each is Markdown of its own.

    It is split between blocks if possible, then between lines, sentences and words. A block of code that fits
    into one piece stays whole; a longer one is closed at the end of a piece and opened again in the next. So
    is a table, whose head is repeated. A heading stays with what follows it.
    Nothing but white space at the splits is lost. A text without content gives no piece.

    By `length`, two texts together must not be longer than the sum of both. A megabyte may take 5 s, so split
    a text of more than 100,000 characters in a thread.
    """
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return []
    if length(text) <= longest:
        return [_trimmed(text)]
    packer = _Packer(longest, length)
    for part in _with_headings(parts_of(text, longest, length), lambda it: length(it) <= longest):
        packer.add(part)
    return packer.done()


def plain_pieces(text: str, longest: int, length: Length = len) -> Sequence[str]:
    """Return a text that is no Markdown in pieces, as `pieces` does: between paragraphs, lines and words."""
    if not text.strip():
        return []
    if length(text) <= longest:
        return [text]
    return [_trimmed(piece) for piece in cut_text(text, longest, length)]


@define(eq=False)
class _Packer:
    """Fills messages with parts."""

    longest: int
    length: Length
    _found: list[str] = Factory(list)
    _texts: list[str] = Factory(list)
    """The texts of the parts in the message that is being filled, with what is between them."""
    _used: int = 0
    """Their length, or more."""
    _first: Part | None = None

    def add(self, part: Part) -> None:
        """Put a part into the message, or into the next one if it has no place there."""
        if self._first is None or part.before is None or not self._takes(part):
            self._close()
            self._first, self._texts = part, [part.alone(part)]
            self._used = self.length(self._texts[0])

    def _takes(self, part: Part) -> bool:
        more = f"{part.before}{part.alone(self._first or part)}"
        size = self.length(more)
        if self._used + size > self.longest:
            return False
        self._texts.append(more)
        self._used += size
        return True

    def _close(self) -> None:
        text = _trimmed("".join(self._texts))
        if text.strip():
            self._found.append(text)
        self._texts = []

    def done(self) -> Sequence[str]:
        """Return all messages."""
        self._close()
        return self._found


def _with_headings(parts: Iterator[Part], fits: Callable[[str], bool]) -> Iterator[Part]:
    """Yield the parts. A heading is joined with the part after it, if both fit into a message."""
    held: Part | None = None
    for part in parts:
        if held is not None:
            joined = None if part.before is None else f"{held.text}{part.before}{part.text}"
            if joined is not None and fits(joined):
                part = held.with_text(joined, is_heading=part.is_heading)  # noqa: PLW2901 -- it grows
            else:
                yield held
        held = part if part.is_heading else None
        if held is None:
            yield part
    if held is not None:
        yield held


def _trimmed(text: str) -> str:
    """Return a text without blank lines at its ends. Blanks before its first word may mean code."""
    lines = text.split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    return "\n".join(lines[first:]).rstrip()
