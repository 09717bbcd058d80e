"""Turns reasons of failures into text for people. Providers and runners may give JSON, HTML, tracebacks."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice

LONGEST = 500
"""Limit of a reason in a chat, in characters. The log and `nanoclaw messages show` have all of it."""
READ = 16_384
"""Characters of a reason that are read."""
DEEPEST, MOST_NESTED = 20, 400
"""Limits of nested values, and of opening brackets. More could crash Python's parser."""
OPENINGS = 8
"""Limit of the opening brackets at which an object is looked for."""
WORDS = ("reason", "message", "msg", "error", "detail", "description", "title")
"""Keys of an object whose value may be a text for people, the best first."""
NO_REASON = "it gave no reason"

_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,300})<", re.IGNORECASE)
_PAGE = re.compile(r"<(!doctype|html)\b", re.IGNORECASE)
_OPENING = re.compile(r"[\[{]")
_STYLE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TRACEBACK = "Traceback (most recent call last):"


def in_words(reason: str) -> str:
    """Return a reason as one line of plain text of at most `LONGEST` characters."""
    line = _plain(_of_text(reason[:READ], DEEPEST)).removesuffix(":") or NO_REASON
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in _STYLE.sub("", text)).split())


def _of_text(text: str, depth: int) -> str:
    if _TRACEBACK in text:
        before, _, trace = text.rpartition(_TRACEBACK)
        last = [line for line in trace.splitlines() if line.strip() and not line[0].isspace()]
        return _joined(before.partition(_TRACEBACK)[0], last[-1] if last else "")
    if page := _PAGE.search(text):
        title = _TITLE.search(text, page.start())
        return _joined(text[: page.start()], title[1] if title else "an HTML page")
    for start in islice(_OPENING.finditer(text), OPENINGS):
        for value, rest in _objects(text[start.start() :], depth):
            return _joined(text[: start.start()], _of_value(value, depth - 1), rest)
    return text


def _joined(*parts: str) -> str:
    return " ".join(part.strip() for part in parts if part.strip())


def _objects(text: str, depth: int) -> Iterator[tuple[object, str]]:
    """Yield the JSON or Python object at the beginning of a text, if there is one, and what follows it."""
    if depth <= 0 or sum(map(text.count, "[{(")) > MOST_NESTED:
        return
    with suppress(ValueError, RecursionError):
        value, end = json.JSONDecoder().raw_decode(text)
        if _is_object(value):
            yield value, text[end:]
        return
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        value = ast.literal_eval(text.strip())
        if _is_object(value):
            yield value, ""


def _is_object(value: object) -> bool:
    """Return whether a value has keys. A list of words may be text in brackets."""
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_is_object, value)))


def _of_value(value: object, depth: int) -> str:
    match value:
        case _ if depth <= 0:
            return "…"
        case str():
            return _of_text(value, depth - 1)
        case dict():
            return _of_object(value, depth - 1)
        case list() | tuple():
            return "; ".join(_of_value(each, depth - 1) for each in value)
        case _:
            return str(value)


def _of_object(fields: Mapping[str, object], depth: int) -> str:
    found = next((fields[key] for key in WORDS if fields.get(key)), None)
    if found is not None:
        return _of_value(found, depth)
    return ", ".join(f"{key}: {_of_value(each, depth)}" for key, each in fields.items() if each)
