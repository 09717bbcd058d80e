"""Results for people: a table for several rows, one line for each field of a single row."""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from nanoclaw.channels.terminal.terminal import harmless

WIDEST = 60
"""Characters of a cell of a table."""
TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""The bidirectional classes of Unicode whose characters change the direction of the text after them."""
HEADS: Mapping[str, str] = {
    "local_name": "name",
    "display_name": "name",
    "sender_name": "name",
    "user_id": "user",
    "agent_provider": "provider",
    "unknown_sender_policy": "unknown senders",
    "is_group": "group",
    "thread_id": "thread",
    "container_status": "runner",
    "trigger_rules": "trigger",
    "question_id": "id",
    "approval_id": "id",
    "agent_group_id": "agent id",
    "messaging_group_id": "chat id",
    "session_id": "session",
    "message_count": "messages",
    "duration_s": "seconds",
    "percent": "%",
    "source": "from",
    "writer": "who writes",
    "writer_type": "from",
    "reader": "who reads",
    "reader_type": "to",
    "selectedLabel": "once chosen",
}
"""Heads of columns that differ from their fields' names."""


def shown(result: Any, columns: Sequence[str], zone: ZoneInfo) -> str:
    """Return a result as text, with its dates in the user's zone."""
    if isinstance(result, list):
        return "\n".join(table(result, columns or list(result[0]), zone))
    if isinstance(result, dict) and columns:
        return "\n".join(table([result], columns, zone))
    return "\n".join(_lines(result, zone)) if isinstance(result, dict) else _cell(result, zone)


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], zone: ZoneInfo) -> Iterator[str]:
    """Return the heads and one line for each row; columns that are empty in all rows are left out."""
    cells = [[_short(_cell(row.get(column), zone)) for column in columns] for row in rows]
    filled = [n for n in range(len(columns)) if any(row[n] for row in cells)]
    lines = [[_head(columns[n]) for n in filled], *([row[n] for n in filled] for row in cells)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(filled))]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _lines(row: Mapping[str, Any], zone: ZoneInfo) -> Iterator[str]:
    """Return one line for each non-empty field; a field with several rows follows as a table."""
    several = {key: value for key, value in row.items() if _is_table(value)}
    cells = {_head(key): _cell(value, zone) for key, value in row.items() if key not in several}
    width = max((len(head) for head, cell in cells.items() if cell), default=0)
    yield from (f"{head.ljust(width)}  {cell}" for head, cell in cells.items() if cell)
    for key, value in several.items():
        yield ""
        yield f"{_head(key)}:"
        yield from table(value, list(value[0]), zone)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _head(key: str) -> str:
    return HEADS.get(key, key.removesuffix("_at").replace("_", " "))


def _cell(value: Any, zone: ZoneInfo) -> str:
    match value:
        case _ if value is None or (not value and isinstance(value, list | dict)):
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return moment(value, zone) or _plain(value.replace("\n", " ").replace("\t", " "))
        case list() if all(isinstance(each, dict) and "label" in each for each in value):
            return _plain(" | ".join(str(option["label"]) for option in value))
        case list() | dict():
            words = isinstance(value, list) and all(isinstance(each, str) for each in value)
            return _plain(", ".join(value) if words else json.dumps(value, ensure_ascii=False))
        case _:
            return str(value)


def _plain(text: str) -> str:
    """Return text without control characters, and with `<U+…>` for those that turn the text around them.

    People choose their names and ids. None may look like another one, or move the cells beside it.
    """
    turned = (f"<U+{ord(each):04X}>" if unicodedata.bidirectional(each) in TURNING else each for each in text)
    return harmless(text if text.isascii() else "".join(turned))


def moment(text: str, zone: ZoneInfo) -> str | None:
    """Return a date for people; None for any other text."""
    if len(text) < len("2026-01-31T09:00:00") or text[4:5] != "-" or text[10:11] != "T":
        return None
    try:
        return datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return None


def _short(cell: str) -> str:
    return cell if len(cell) <= WIDEST else f"{cell[: WIDEST - 1]}…"
