"""Reads text files of any size in lines, and refuses binary ones by their type."""

import os
from collections.abc import Iterator
from mimetypes import guess_type
from pathlib import Path
from typing import BinaryIO

from attrs import define, field

from agent_runner.errors import ToolError
from agent_runner.providers.toolbox import ShownFile
from agent_runner.sandbox.roots import Found, Roots

BEGINNING = 8192
"""Bytes that are read to find the type of a file."""
LONGEST_LINE = 2_000
"""Characters of a line that are shown."""
MOST_CHARACTERS = 60_000
"""Characters of a file that one call shows."""
FARTHEST = 512 * 1024 * 1024
"""Bytes of a file that are read to find a line."""
LARGEST_TEXT = 16 * 1024 * 1024
"""Bytes of a file that is read as a whole, to edit it."""
PICTURES = ("image/png", "image/jpeg", "image/gif", "application/pdf")
LARGEST_PICTURE = 5 * 1024 * 1024
"""Bytes of a picture or PDF that is shown."""
_CHUNK = 4 * LONGEST_LINE
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\0", "an SQLite database"),
)


@define
class _Page:
    """The lines that are shown, within the bounds."""

    offset: int
    limit: int
    lines: list[str] = field(factory=list, init=False)
    left: int = field(default=MOST_CHARACTERS, init=False)

    @property
    def is_full(self) -> bool:
        """True if no more lines are shown."""
        return len(self.lines) >= self.limit or self.left <= 0

    def add(self, number: int, line: str) -> None:
        """Show a line."""
        self.lines.append(f"{number}\t{line}")
        self.left -= len(self.lines[-1]) + 1


def read_page(roots: Roots, path: str, offset: int, limit: int) -> str:
    """Return lines of a text file with their numbers, from line `offset` on. Raises ToolError."""
    with roots.find(path) as found, os.fdopen(roots.open_file(found), "rb") as file:
        _check_text(found, file)
        page = _Page(offset, limit)
        last = 0
        for number, line in _lines(file, path):
            if page.is_full:
                return _paged(page, last, more=True)
            last = number
            if number >= offset:
                page.add(number, line)
        if not last:
            return "(the file is empty)"
        if offset > last:
            raise ToolError(f"{path!r} has {last:,} lines; offset is {offset:,}")
        return _paged(page, last, more=False)


def find_picture(roots: Roots, path: str) -> ShownFile | None:
    """Return a picture or PDF that models can be shown, or None. Raises ToolError."""
    with roots.find(path) as found, os.fdopen(roots.open_file(found), "rb") as file:
        beginning = file.read(BEGINNING)
        type_ = next((type_ for begin, type_ in _SIGNATURES if beginning.startswith(begin)), "")
        if type_ not in PICTURES or os.fstat(file.fileno()).st_size > LARGEST_PICTURE:
            return None
        real = Path(f"/proc/self/fd/{file.fileno()}").readlink()
        return ShownFile(path.rpartition("/")[2], real, type_)


def _paged(page: _Page, last: int, *, more: bool) -> str:
    text = "\n".join(page.lines)
    return f"{text}\n[The file goes on. Continue with offset {last + 1}.]" if more else text


def _lines(file: BinaryIO, path: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers. A long one is cut, in bounded memory."""
    number = 0
    while data := file.readline(_CHUNK):
        number += 1
        left_out = 0
        rest = data
        while not rest.endswith(b"\n") and (rest := file.readline(1024 * 1024)):
            left_out += len(rest)
            _check_distance(file, path)
        yield number, _shown(data, left_out)
        _check_distance(file, path)


def _check_distance(file: BinaryIO, path: str) -> None:
    if file.tell() > FARTHEST:
        raise ToolError(
            f"{path!r}: only the first {FARTHEST // 2**20} MiB can be read so; use tail or sed in bash"
        )


def _shown(data: bytes, left_out: int) -> str:
    line = data.decode("utf-8", "replace").rstrip("\r\n")
    left_out += max(0, len(line) - LONGEST_LINE)
    return f"{line[:LONGEST_LINE]} [… {left_out:,} more]" if left_out else line


def _check_text(found: Found, file: BinaryIO) -> None:
    beginning = file.read(BEGINNING)
    file.seek(0)
    if b"\0" in beginning or beginning.startswith(tuple(signature for signature, _ in _SIGNATURES)):
        size = os.fstat(file.fileno()).st_size
        raise ToolError(
            f"{found.path!r} is binary ({_type(found.path, beginning)}, {size:,} bytes), not text; use a "
            "program in bash to read it"
        )


def _type(path: str, beginning: bytes) -> str:
    by_content = next((type_ for signature, type_ in _SIGNATURES if beginning.startswith(signature)), None)
    return by_content or guess_type(path.rpartition("/")[2])[0] or "of an unknown type"


def read_text(roots: Roots, found: Found) -> str:
    """Return the whole text of a file, with its own line ends. Raises ToolError, OSError."""
    with os.fdopen(roots.open_file(found), "rb") as file:
        _check_text(found, file)
        data = file.read(LARGEST_TEXT + 1)
    if len(data) > LARGEST_TEXT:
        raise ToolError(f"{found.path!r} has more than {LARGEST_TEXT // 2**20} MiB; use sed in bash")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ToolError(
            f"{found.path!r} is not UTF-8 at byte {error.start:,}; use a program in bash"
        ) from error
