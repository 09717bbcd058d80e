"""Prepares JSON and text for a database."""

import json
from collections.abc import Mapping
from typing import cast

LONGEST_REASON = 2000


def clean(text: str) -> str:
    """Return text that UTF-8 can carry: a UTF-16 surrogate pair is its character, a lone surrogate `?`."""
    if text.isascii():
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return joined.encode("utf-8", "replace").decode()


def clip(text: str) -> str:
    """Return a reason short enough for a row."""
    return clean(text[:LONGEST_REASON])


def shorten(text: str, longest: int) -> str:
    """Return the beginning of a text, on one line."""
    words = " ".join(text.split())
    return words if len(words) <= longest else f"{words[:longest]} …"


def dump(value: Mapping[str, object]) -> str:
    """Return the JSON for a column."""
    return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def load(text: object) -> Mapping[str, object]:
    """Return the JSON object in a column. Raises ValueError if there is none."""
    if not isinstance(text, str):
        raise ValueError("content is not text")  # noqa: TRY004 -- one error for one condition: unreadable
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("content is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("content is not a JSON object")  # noqa: TRY004 -- as above
    return cast("Mapping[str, object]", value)
