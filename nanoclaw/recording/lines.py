"""Notes as lines of JSON, and back."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import cattrs
from attrs import frozen

from nanoclaw.recording.notes import FORMAT, Began, Note

FILE = "recording.jsonl"
MAX_BYTES = 1 << 30
"""The most bytes of that file: it is read as a whole, and its notes are kept in memory."""
LONGEST_S = 100 * 366 * 86_400.0
FIRST_YEAR, LAST_YEAR = 1970, 2200
STATE = "data"
"""The folder of a recording that holds the copy of the data directory."""

_KINDS: dict[str, type[Note]] = {kind.__name__: kind for kind in get_args(Note)}
JSON = cattrs.Converter()
JSON.register_unstructure_hook(datetime, datetime.isoformat)
JSON.register_structure_hook(datetime, lambda text, _: _date(text))
JSON.register_structure_hook_func(lambda type_: type_ is object, lambda value, _: value)


class BadRecording(Exception):
    """A recording that cannot be read; the text says what and where."""


@frozen
class Taken:
    """A note, and when it was taken: seconds since the recording began."""

    at: float
    note: Note


@frozen
class Recording:
    """A recording. `torn`: its last line was cut off, by a kill or a full disk."""

    folder: Path
    began: Began
    notes: tuple[Taken, ...]
    torn: bool = False


def dump(at: float, note: Note) -> str:
    """A line, without its end."""
    line = {"at": round(at, 6), "note": type(note).__name__, **JSON.unstructure(note)}
    return json.dumps(line, ensure_ascii=True)


def load(line: str) -> Taken:
    """The note of a line.

    Raises:
        ValueError: it is none; the text says why.
    """
    values = json.loads(line)
    if not isinstance(values, dict) or not isinstance(values.get("note"), str):
        raise ValueError("it is no note")  # noqa: TRY004 -- of the file, not of us
    kind = _KINDS.get(values["note"])
    if kind is None:
        raise ValueError(f"there is no note {values['note']!r}")
    try:
        return Taken(_moment(values["at"]), JSON.structure(values, kind))
    except (cattrs.BaseValidationError, KeyError, TypeError) as error:
        raise ValueError("; ".join(_reasons(error))) from error


def _moment(value: Any) -> float:
    moment = float(value)
    if not 0 <= moment <= LONGEST_S:
        raise ValueError(f"{moment} is no moment of a recording")
    return moment


def _date(text: str) -> datetime:
    date = datetime.fromisoformat(text)
    if date.tzinfo is None or not FIRST_YEAR <= date.year <= LAST_YEAR:
        raise ValueError(f"{text} is no date of a recording")
    return date


def _reasons(error: Exception) -> list[str]:
    return cattrs.transform_error(error) if isinstance(error, cattrs.BaseValidationError) else [repr(error)]


def read(folder: Path) -> Recording:
    """Read a recording; a last line that was cut off is left out.

    Raises:
        BadRecording: it is none, it is damaged, or a newer NanoClaw wrote it.
    """
    file = folder / FILE
    try:
        raw = _content(file)
    except OSError as error:
        raise BadRecording(f"{file}: cannot be read: {error.strerror}; is {folder} a recording?") from error
    whole, _, rest = raw.rpartition(b"\n")
    notes = tuple(_notes(file, whole))
    if not notes:
        raise BadRecording(f"{file}: it is empty, or was cut off in its first line")
    began = notes[0].note
    if not isinstance(began, Began):
        raise BadRecording(f"{file}, line 1: a recording begins with a note `Began`")
    return Recording(folder, began, notes[1:], torn=bool(rest))


def _content(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadRecording(f"{file}: it is a link; put the file itself there") from error
        raise
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadRecording(f"{file}: it is no plain file")
        if found.st_size > MAX_BYTES:
            raise BadRecording(f"{file}: it has {found.st_size:,} bytes; up to {MAX_BYTES:,} can be replayed")
        return opened.read(MAX_BYTES)


def _notes(file: Path, whole: bytes) -> Iterator[Taken]:
    for number, line in enumerate(whole.split(b"\n") if whole else (), 1):
        try:
            text = line.decode("utf-8")
            if number == 1:
                _check_format(file, text)
            yield load(text)
        except (ValueError, RecursionError) as error:
            raise BadRecording(f"{file}, line {number}: it is damaged: {error}") from error


def _check_format(file: Path, line: str) -> None:
    values = json.loads(line)
    found = values.get("format") if isinstance(values, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise BadRecording(
            f"{file}: it has format {found}, written by NanoClaw {values.get('nanoclaw')}; this one reads up "
            f"to {FORMAT}: replay it with the newer one"
        )
