"""Replaces a part of a text, or says why it cannot: with lines that look like what was meant."""

from collections.abc import Sequence
from difflib import get_close_matches

from attrs import frozen

from agent_runner.errors import ToolError

MOST_COMPARED = 20_000
"""Lines that are compared to find what was meant."""
LONGEST_SHOWN = 200
"""Characters of a line that is shown."""


@frozen
class Edited:
    """A text after an edit."""

    text: str
    lines: Sequence[int]
    """The numbers of the lines where it has changed."""


def edit(text: str, old: str, new: str, *, all_: bool = False) -> Edited:
    """Replace `old`, which must occur once unless `all_`. Raises ToolError.

    Line ends of `old` and `new` become those of the text.
    """
    if old == new:
        raise ToolError("old and new are the same")
    if old not in text and "\r\n" in text:
        old, new = (each.replace("\r\n", "\n").replace("\n", "\r\n") for each in (old, new))
    lines = _lines_of(text, old)
    if not lines:
        raise ToolError(_near_misses(text, old))
    if len(lines) > 1 and not all_:
        where = ", ".join(map(str, lines[:10]))
        raise ToolError(
            f"old occurs {len(lines)} times, in lines {where}{' …' if len(lines) > 10 else ''}; "  # noqa: PLR2004 -- as above
            "add text around it, or set all"
        )
    return Edited(text.replace(old, new), lines)


def _lines_of(text: str, old: str) -> Sequence[int]:
    """Return the line of each occurrence."""
    lines, line, at, end = [], 1, 0, 0
    while (at := text.find(old, at)) >= 0:
        line += text.count("\n", end, at)
        lines.append(line)
        end, at = at, at + len(old)
    return lines


def _near_misses(text: str, old: str) -> str:
    lines = text.splitlines()[:MOST_COMPARED]
    wanted = next((line.strip() for line in old.splitlines() if line.strip()), "")
    stripped = [line.strip() for line in lines]
    if wanted and wanted in stripped:
        number = stripped.index(wanted) + 1
        return (
            f"old does not occur. Its first line is like line {number}, but spaces or what follows differ; "
            f"line {number} is {lines[number - 1][:LONGEST_SHOWN]!r}"
        )
    short = [line[:LONGEST_SHOWN] for line in stripped]
    close = get_close_matches(wanted[:LONGEST_SHOWN], short, n=2, cutoff=0.7) if wanted else []
    if not close:
        return "old does not occur; read the file again"
    numbers = [short.index(line) for line in dict.fromkeys(close)]
    shown = "; ".join(f"line {number + 1}: {lines[number][:LONGEST_SHOWN]!r}" for number in numbers)
    return f"old does not occur; similar is {shown}"
