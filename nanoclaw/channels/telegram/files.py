"""Files that go out. They are read from the disk while they are sent."""

from contextlib import AbstractContextManager
from io import BytesIO
from typing import IO, Any

from nanoclaw.records import OutgoingFile

LARGEST_UPLOAD = 50_000_000
"""Limit of a file in bytes that Telegram takes from bots."""


def size_of(file: OutgoingFile) -> int:
    """Return the size of a file in bytes."""
    found: Any = file
    return int(found.size) if hasattr(file, "size") else len(file.data)


def opened(file: OutgoingFile) -> AbstractContextManager[IO[bytes]]:
    """Open a file for reading."""
    found: Any = file
    opener: IO[bytes] = found.path.open("rb") if hasattr(file, "path") else BytesIO(file.data)
    return opener
