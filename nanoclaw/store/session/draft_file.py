"""Reads the draft of a session. A hostile container may have written it (contract 1 and 6)."""

import json
import os
import stat
from pathlib import Path

from attrs import frozen

from nanoclaw.records import Address
from nanoclaw.records.content import storable

MAX_BYTES = 64 * 1024
"""Limit of the file. A longer one counts as no draft."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@frozen
class Draft:
    """The text so far of an answer, and where the runner wants it to be shown."""

    address: Address
    text: str


def read_draft(path: Path) -> Draft | None:
    """Return the draft, or None if there is none, or it violates contract 1. It never waits."""
    data = _read(path)
    try:
        return None if data is None else _draft(json.loads(data.decode()))
    except (ValueError, RecursionError):
        return None


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = os.read(descriptor, MAX_BYTES + 1)
        return data if len(data) <= MAX_BYTES else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _draft(value: object) -> Draft | None:
    match value:
        case {"turn": str(), "address": dict() as address, "text": str(text), **rest} if not rest:
            where = _address(address)
            return None if where is None else Draft(where, storable(text))
        case _:
            return None


def _address(value: object) -> Address | None:
    match value:
        case {
            "channel_type": str(channel_type),
            "platform_id": str(platform_id),
            "thread_id": None | str() as thread_id,
            **rest,
        } if not rest:
            return Address(channel_type, platform_id, thread_id)
        case _:
            return None
