"""Takes Markdown apart: into blocks that fit into a message, and long ones into smaller parts.

Parts are slices of the source: markdown-it-py finds the blocks, and nothing is reformatted.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from nanoclaw.channels.rendering.cuts import Length, cut_hard, cut_text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_QUOTE = re.compile(r"(?:[ ]{0,3}>[ ]?)+")
_ONLY_QUOTE = re.compile(r"[>\s]*")
_FENCE = re.compile(r"(?P<prefix>.*?)(?P<mark>`{3,}|~{3,})")
_CONTAINERS = ("bullet_list", "ordered_list", "list_item", "blockquote")
_HEAD_ROWS = 2


@frozen
class Part:
    """A part of a text that is not split further."""

    text: str
    before: str | None = "\n"
    """The text between it and the part before, in one message. None: it begins a message."""
    indent: int = 0
    """The blanks with which each line begins because it is inside a list."""
    is_heading: bool = False

    def alone(self, first: "Part") -> str:
        """Return the text for a message that begins with the part `first`, without needless indentation."""
        needless = min(first.indent, self.indent)
        return re.sub(rf"(?m)^ {{1,{needless}}}", "", self.text) if needless else self.text

    def with_text(self, text: str, *, is_heading: bool) -> "Part":
        """Return a longer part that begins as this one."""
        return evolve(self, text=text, is_heading=is_heading)


@frozen
class _Block:
    """A block of the source: a paragraph, a list, an item of one, a block of code and so on."""

    kind: str
    start: int
    end: int
    """The line after its last one."""
    children: "list[_Block]" = field(factory=list)


@frozen
class _Source:
    lines: Sequence[str]
    longest: int
    length: Length

    def text(self, start: int, end: int) -> str:
        return "\n".join(self.lines[start:end])

    def fits(self, text: str) -> bool:
        return self.length(text) <= self.longest


def parts_of(text: str, longest: int, length: Length) -> Iterator[Part]:
    """Yield the parts of a text in order, each at most `longest` long."""
    lines = text.split("\n")
    source = _Source(lines, longest, length)
    yield from _split(source, _Block("document", 0, len(lines), _blocks(text)), 0)


@cache
def parser() -> "MarkdownIt":
    """Return the parser. It finds blocks, and does not look into their text."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 -- most messages are short and need none

    return MarkdownIt("commonmark").enable("table").disable(["inline", "reference"], ignoreInvalid=True)


def _blocks(text: str) -> list[_Block]:
    """Return the top-level blocks, with those inside them."""
    stack = [_Block("document", 0, 0)]
    for token in parser().parse(text):
        if token.nesting < 0:
            stack.pop()
        elif token.map is not None and token.type != "inline":
            block = _Block(token.type.removesuffix("_open"), token.map[0], token.map[1])
            stack[-1].children.append(block)
            if token.nesting > 0:
                stack.append(block)
        elif token.nesting > 0:
            stack.append(_Block(token.type, 0, 0))
    return stack[0].children


# -- splitting ------------------------------------------------------------------


def _split(source: _Source, block: _Block, indent: int) -> Iterator[Part]:
    """Yield a block as one part if it fits, else its parts."""
    start, end = block.start, _end(source, block)
    whole = source.text(start, end)
    if block.kind != "document" and source.fits(whole):
        yield Part(whole, indent=indent, is_heading=block.kind == "heading")
    elif block.kind == "fence":
        yield from _fence(source, start, end, indent)
    elif block.kind == "code_block":
        yield from _rows(source, source.lines[start:end], indent)
    elif block.kind == "table":
        yield from _table(source, start, end, indent)
    elif block.children and (block.kind == "document" or block.kind in _CONTAINERS):
        yield from _inside(source, block, end, indent)
    else:
        yield from _cut(whole, source, indent)


def _end(source: _Source, block: _Block) -> int:
    """Return the line after the last one with content."""
    end = block.end
    while end > block.start + 1 and not source.lines[end - 1].strip():
        end -= 1
    return end


def _inside(source: _Source, block: _Block, end: int, indent: int) -> Iterator[Part]:
    """Yield the parts of the blocks inside one. What no block has is a part, too."""
    line = block.start
    for child in block.children:
        yield from _led_by(source, line, child.start, _split(source, child, _indent(source, child, indent)))
        line = max(line, _end(source, child))
    yield from _led_by(source, line, end, iter(()))


def _led_by(source: _Source, start: int, end: int, parts: Iterator[Part]) -> Iterator[Part]:
    """Yield parts after the lines that lead to them. Blank lines are only what is between two parts."""
    between = source.text(start, end)
    if not _ONLY_QUOTE.fullmatch(between):
        yield from _cut(between, source, 0)
        start = end
    gap = "\n".join(["", *source.lines[start:end], ""])
    for n, part in enumerate(parts):
        yield part if n or part.before is None else evolve(part, before=gap)


def _indent(source: _Source, child: _Block, indent: int) -> int:
    """Return the blanks before a block: of the second and later ones of an item of a list."""
    line = source.lines[child.start]
    return max(indent, len(line) - len(line.lstrip(" "))) if child.kind != "code_block" else indent


def _cut(text: str, source: _Source, indent: int) -> Iterator[Part]:
    for n, piece in enumerate(cut_text(text, source.longest, source.length, _quote_mark)):
        yield Part(piece, "\n" if n == 0 else None, indent)


def _quote_mark(piece: str) -> str:
    """Return the mark of a quote with which the last line of a piece begins, or nothing."""
    found = _QUOTE.match(piece, piece.rfind("\n") + 1)
    return found.group() if found else ""


def _fence(source: _Source, start: int, end: int, indent: int) -> Iterator[Part]:
    """Yield a block of code in parts. Each is a block of its own, with the same language."""
    found = _FENCE.match(source.lines[start])
    assert found is not None  # noqa: S101 -- the parser found a fence in this line
    prefix = re.sub(r"[^>\s]", " ", found["prefix"])
    is_closed = end > start + 1 and _closes(source.lines[end - 1], found["mark"])
    tail = source.lines[end - 1] if is_closed else prefix + found["mark"]
    again = prefix + source.lines[start][found.start("mark") :]
    if not _leaves_room(source, f"{again}\n\n{tail}"):
        yield from _rows(source, source.lines[start:end], indent)
        return
    rows = _rows(source, source.lines[start + 1 : end - is_closed], indent, (f"{again}\n", f"\n{tail}"))
    first = next(rows)
    yield evolve(first, text=source.lines[start] + first.text.removeprefix(again))
    yield from rows


def _closes(line: str, mark: str) -> bool:
    """Return True if a line is the end of a block of code that began with a mark."""
    return re.fullmatch(rf"[ >]*{mark}{mark[0]}*[ \t]*", line) is not None


def _table(source: _Source, start: int, end: int, indent: int) -> Iterator[Part]:
    """Yield a table in parts, each with the head."""
    head = source.text(start, start + _HEAD_ROWS) + "\n"
    if _leaves_room(source, head):
        yield from _rows(source, source.lines[start + _HEAD_ROWS : end], indent, (head, ""))
    else:
        yield from _rows(source, source.lines[start:end], indent)


def _leaves_room(source: _Source, wrapping: str) -> bool:
    return source.length(wrapping) * 2 <= source.longest


def _rows(
    source: _Source, lines: Sequence[str], indent: int, wrapping: tuple[str, str] = ("", "")
) -> Iterator[Part]:
    """Yield lines in parts that fit, each with its wrapping around it. A line that does not fit is cut."""
    head, tail = wrapping
    room = source.longest - source.length(head) - source.length(tail)
    before: str | None = "\n"
    for rows in _filled(lines, room, source.length):
        yield Part(f"{head}{rows}{tail}", before, indent)
        before = None


def _filled(lines: Sequence[str], room: int, length: Callable[[str], int]) -> Iterator[str]:
    """Yield lines together, as many as there is room for."""
    rows, used = list[str](), 0
    for line in chain.from_iterable(cut_hard(line, room, length) if line else ("",) for line in lines):
        size = length(f"{line}\n")
        if rows and used + size > room + 1:
            yield "\n".join(rows)
            rows, used = [], 0
        rows.append(line)
        used += size
    if rows:
        yield "\n".join(rows)
