"""Tables for networks that show none: as aligned code, or as a list if they are too wide for that."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from unicodedata import combining, east_asian_width

from attrs import frozen

from nanoclaw.channels.rendering.blocks import parser

WIDEST = 72
"""Columns of the widest table that is shown as code. On a telephone wider ones are unreadable."""
_DELIMITER = re.compile(r"(?m)^[ >]*\|?[ ]*:?-+:?[ ]*(\||$)")
_NOT_QUOTE = re.compile(r"[^>\s]")


@frozen
class _Table:
    start: int
    end: int
    """The line after its last one."""
    rows: Sequence[Sequence[str]]
    """The Markdown of the cells, the head first."""


def tables_as_code(markdown: str, widest: int = WIDEST) -> str:
    """Return Markdown in which each table is a block of code with aligned columns.

    A table wider than `widest` becomes a list with an item for each row.
    """
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    if "|" not in text or not _DELIMITER.search(text):
        return markdown
    lines = text.split("\n")
    for table in reversed(list(_tables(text))):
        shown = _as_code(table) if max(map(_width, _aligned(table.rows))) <= widest else _as_list(table)
        first, _, _ = lines[table.start].partition("|")
        rest = _NOT_QUOTE.sub(" ", first) if first.strip(" >") == "" else ""
        lines[table.start : table.end] = [f"{rest}{line}" for line in shown]
    return "\n".join(lines)


def _tables(text: str) -> Iterator[_Table]:
    """Yield the tables of a text."""
    place, rows = (0, 0), list[list[str]]()
    for token in parser().parse(text):
        if token.type == "table_open" and token.map is not None:
            place, rows = (token.map[0], token.map[1]), []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type in {"th_close", "td_close"}:
            continue
        elif token.type == "inline" and rows:
            rows[-1].append(token.content)
        elif token.type == "table_close":
            yield _Table(*place, rows)
            rows = []


def _as_code(table: _Table) -> Sequence[str]:
    head, *body = _aligned(table.rows)
    mark = "```"
    while any(mark in line for line in (head, *body)):
        mark += "`"
    return [mark, head, "─" * _width(head), *body, mark]


def _as_list(table: _Table) -> Sequence[str]:
    head, *body = table.rows
    rows = (zip_longest(head, row, fillvalue="") for row in body)
    shown = [[f"**{name}:** {cell}" if name else cell for name, cell in row if cell] for row in rows]
    return [f"{'  ' if n else '- '}{line}" for row in (shown or [list(head)]) for n, line in enumerate(row)]


def _aligned(rows: Sequence[Sequence[str]]) -> Sequence[str]:
    """Return the rows with columns of equal width."""
    cells = [[_plain(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip_longest(*cells, fillvalue="")]
    return [
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=False)
        ).rstrip()
        for row in cells
    ]


def _plain(cell: str) -> str:
    """Return the text of a cell without marks."""
    cell = re.sub(r"!?\[([^\[\]]*)\]\(([^()\s]*)\)", r"\1 \2", cell)
    return re.sub(r"(\*\*|__|~~|`)(?=\S)([^*_~`]{1,300})\1", r"\2", cell)


def _width(text: str) -> int:
    """Return the number of columns of a text in a font of fixed width."""
    return sum(0 if combining(one) else 1 + (east_asian_width(one) in "WF") for one in text)
