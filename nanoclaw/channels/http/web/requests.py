"""Reads requests of the page: JSON bodies, and the fields in them."""

import json
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from starlette.requests import Request

from nanoclaw.channels.http.errors import ApiError
from nanoclaw.records.checking import storable_text

LARGEST = 1 << 20
"""Limit of a JSON body in bytes."""
LONGEST_TEXT = 100_000
"""Limit of a message in characters."""
LONGEST_ID = 100
HEADER = "x-nanoclaw"
"""A header that the page adds. A page of another site cannot, without a permission that nobody gives it."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object of a request.

    Raises:
        ApiError: it is too large, no JSON object, or not from the page.
    """
    check_page(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ApiError(415, "the body must be application/json", param="Content-Type")
    read = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            read += chunk[: LARGEST + 1 - len(read)]  # a client that is still sending reads no answer
    if len(read) > LARGEST:
        raise ApiError(413, f"the body must have at most {LARGEST:,} bytes", code="too_large")
    try:
        found = json.loads(read)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}"[:200]) from error
    if not isinstance(found, dict):
        raise ApiError(422, "the body must be a JSON object")
    return found


def check_page(request: Request) -> None:
    """Raise ApiError if a request that changes something does not come from the page."""
    if request.headers.get(HEADER) != "1":
        raise ApiError(403, f"the header {HEADER} is missing: use the page", param=HEADER)


def text(found: Mapping[str, Any], key: str, longest: int = LONGEST_ID, *, empty: bool = False) -> str:
    """Return a text of a body, with `?` for what cannot be stored.

    Raises:
        ApiError: it is missing, no text, or too long.
    """
    value = found.get(key)
    if not isinstance(value, str) or not (value or empty) or len(value) > longest:
        raise ApiError(422, f"{key} must be a text of at most {longest:,} characters", param=key)
    return storable_text(value)


def name(value: object, what: str) -> str:
    """Return an id that the page made.

    Raises:
        ApiError: it is none.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ApiError(422, f"{what} must be 1 to 64 letters, digits, _ or -", param=what)
    return value


def number(request: Request, key: str) -> int | None:
    """Return a number of the query; None if it is missing.

    Raises:
        ApiError: it is no number.
    """
    value = request.query_params.get(key)
    if value is None or value == "":
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 16):  # noqa: PLR2004 -- what JavaScript holds exactly
        raise ApiError(422, f"{key} must be a number", param=key)
    return int(value)
