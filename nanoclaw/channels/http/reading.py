"""Reads bodies of requests: JSON, and its fields with their types. Every error names the field."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Never

from attrs import frozen
from starlette.requests import Request

from nanoclaw.channels.http.errors import ApiError
from nanoclaw.records.checking import storable_text

LARGEST_JSON = 8 << 20
"""Limit of a body of JSON in bytes."""
LONGEST_TEXT = 1 << 20
"""Limit of the text of a message in characters."""
LONGEST_NAME = 200
SHOWN = 60
"""Characters of a wrong value that an error shows."""
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


async def body_of(request: Request, largest: int = LARGEST_JSON) -> bytes:
    """Return the body of a request.

    Raises:
        ApiError: it is too large.
    """
    found = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            found += chunk
            if len(found) > largest:
                raise ApiError(413, f"the body must have at most {largest:,} bytes", code="too_large")
    return bytes(found)


def media_type(request: Request) -> str:
    """Return the type of a body in lower case, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_of(request: Request, largest: int = LARGEST_JSON) -> "Fields":
    """Return the fields of a body, which must be a JSON object.

    Raises:
        ApiError: it is too large, of another type, or no JSON object.
    """
    if media_type(request) not in {"application/json", ""}:
        raise ApiError(
            415, "send JSON, with the header `Content-Type: application/json`", param="Content-Type"
        )
    return fields_of(await body_of(request, largest))


def fields_of(body: bytes) -> "Fields":
    """Return the fields of a JSON object.

    Raises:
        ApiError: it is none.
    """
    found = read_json(body)
    if not isinstance(found, dict):
        raise ApiError(422, f"the body must be a JSON object, got {_shown(found)}")
    return Fields(found)


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text. It has no NaN and no infinite numbers.

    Raises:
        ApiError: it is no JSON.
    """
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise ApiError(400, "the body is nested too deeply") from error
    except ValueError as error:
        raise ApiError(400, f"the body is no JSON: {str(error)[:200]}") from error


def _no_number(word: str) -> Never:
    raise ValueError(f"{word} is no JSON")


@frozen
class Fields:
    """The fields of a JSON object. `path` is its place in the body."""

    values: Mapping[str, Any]
    path: str = ""
    status: int = 422
    """The status of errors about fields."""

    def only(self, known: Iterable[str]) -> None:
        """Refuse a field that is not known."""
        known = tuple(known)
        for key in self.values:
            if key not in known:
                self.refuse(key, f"is not known; known are {', '.join(known)}")

    def text(self, key: str, longest: int = LONGEST_TEXT, *, default: str | None = None) -> str:
        """Return a text. Without a default it must be there."""
        value = self.values.get(key, default)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            self.refuse(key, f"must be text, got {_shown(value)}" if key in self.values else "is missing")
        if len(value) > longest:
            self.refuse(key, f"must have at most {longest:,} characters, got {len(value):,}")
        return storable_text(value)

    def name(self, key: str, *, default: str | None = None) -> str:
        """Return a text of 1 to 200 characters without control characters, or the default."""
        value = self.text(key, LONGEST_NAME, default=default)
        if value != default and not _NAME.fullmatch(value):
            self.refuse(key, "must have 1 to 200 characters, and no control characters")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, got {_shown(value)}")
        return value

    def items(self, key: str) -> Sequence[Any]:
        """Return a list; an empty one if it is missing."""
        value = self.values.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.refuse(key, f"must be a list, got {_shown(value)}")
        return value

    def objects(self, key: str) -> Sequence["Fields"]:
        """Return the objects of a list."""
        return [self._within(f"{key}[{n}]", each) for n, each in enumerate(self.items(key))]

    def object(self, key: str) -> "Fields":
        """Return an object; an empty one if it is missing."""
        value = self.values.get(key)
        return Fields({}, self._place(key), self.status) if value is None else self._within(key, value)

    def _within(self, key: str, value: Any) -> "Fields":
        if not isinstance(value, dict):
            self.refuse(key, f"must be an object, got {_shown(value)}")
        return Fields(value, self._place(key), self.status)

    def refuse(self, key: str, why: str) -> Never:
        """Raise the error about a field."""
        place = self._place(key)
        raise ApiError(self.status, f"{place[:200]} {why}", param=place[:200])

    def _place(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def number_in(request: Request, key: str, default: int, most: int) -> int:
    """Return a whole number of the query.

    Raises:
        ApiError: it is none, or out of bounds.
    """
    text = request.query_params.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 18 or int(text) > most:  # noqa: PLR2004 -- 64 bits
        raise ApiError(
            422, f"{key} must be a whole number from 0 to {most:,}, got {text[:SHOWN]!r}", param=key
        )
    return int(text)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
