"""Converts notes to lines of JSON and back."""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast, get_args

import cattrs
import cattrs.gen
from attrs import evolve, frozen

from nanoclaw.recording.notes import FORMAT, Began, Note, Told
from nanoclaw.records import (
    Attended,
    ChatChange,
    Clicked,
    Deleted,
    Event,
    InboundEvent,
    Reacted,
    SdkMessage,
    Webhook,
)

FILE = "recording.jsonl"
MAX_BYTES = 1 << 30
"""Limit of that file in bytes. It is read as a whole, and its notes are kept in memory."""
LONGEST_S = 100 * 366 * 86_400.0
FIRST_YEAR, LAST_YEAR = 1970, 2200
STATE = "data"
"""Folder of a recording with the copy of the data directory."""

STORED_NAMES = {"ForgetUnregisteredSender": "ForgetStranger"}
"""Names that format 1 gives to messages of the registry, where they differ from today's."""
_CURRENT_NAMES = {stored: current for current, stored in STORED_NAMES.items()}

_KINDS: dict[str, type[Note]] = {kind.__name__: kind for kind in get_args(Note)}
JSON = cattrs.Converter()
JSON.register_unstructure_hook(datetime, datetime.isoformat)
JSON.register_structure_hook(datetime, lambda text, _: _date(text))
JSON.register_structure_hook_func(lambda type_: type_ is object, lambda value, _: value)
_NAMED: dict[str, type[ChatChange]] = {kind.__name__: kind for kind in get_args(ChatChange)}
"""The events that are recorded with their names. The others are known by their keys."""
_Unnamed = InboundEvent | SdkMessage | Webhook | Deleted | Reacted | Clicked | Attended


def _event(values: Any, _type: object) -> Event:
    kind: Any = _NAMED[values["is"]] if "is" in values else _Unnamed
    return cast("Event", JSON.structure(values, kind))


def _naming(kind: type[ChatChange]) -> Callable[[ChatChange], dict[str, object]]:
    plain = cattrs.gen.make_dict_unstructure_fn(kind, JSON)
    return lambda event: {"is": kind.__name__, **plain(event)}


for _kind in _NAMED.values():
    JSON.register_unstructure_hook(_kind, _naming(_kind))
JSON.register_structure_hook_func(lambda type_: type_ == Event, _event)


class BadRecording(Exception):
    """A recording is not readable. The text says what is wrong and where."""


@frozen
class Taken:
    """A note with its time, in seconds since the recording began."""

    at: float
    note: Note


@frozen
class Recording:
    """A whole recording. `torn` is True if its last line was cut off, by a kill or a full disk."""

    folder: Path
    began: Began
    notes: tuple[Taken, ...]
    torn: bool = False


def dump(at: float, note: Note) -> str:
    """Return a note as a line, without the line end."""
    stored = _renamed(note, STORED_NAMES)
    line = {"at": round(at, 6), "note": type(stored).__name__, **JSON.unstructure(stored)}
    return json.dumps(line, ensure_ascii=True)


def load(line: str) -> Taken:
    """Return the note in a line.

    Raises:
        ValueError: it is not a valid note. The text says why.
    """
    values = json.loads(line)
    if not isinstance(values, dict) or not isinstance(values.get("note"), str):
        raise ValueError("it is not a note")  # noqa: TRY004 -- about the file, not about an argument
    kind = _KINDS.get(values["note"])
    if kind is None:
        raise ValueError(f"the kind of note {values['note']!r} is unknown")
    try:
        return Taken(_moment(values["at"]), _renamed(JSON.structure(values, kind), _CURRENT_NAMES))
    except (cattrs.BaseValidationError, KeyError, TypeError) as error:
        raise ValueError("; ".join(_reasons(error))) from error


def _renamed(note: Note, names: Mapping[str, str]) -> Note:
    """Return a note with the name of a registry message replaced, if `names` has it."""
    return evolve(note, message=names.get(note.message, note.message)) if isinstance(note, Told) else note


def _moment(value: Any) -> float:
    moment = float(value)
    if not 0 <= moment <= LONGEST_S:
        raise ValueError(f"the time {moment} is not within a recording")
    return moment


def _date(text: str) -> datetime:
    date = datetime.fromisoformat(text)
    if date.tzinfo is None or not FIRST_YEAR <= date.year <= LAST_YEAR:
        raise ValueError(f"the date {text} is not within {FIRST_YEAR} to {LAST_YEAR}, or has no time zone")
    return date


def _reasons(error: Exception) -> list[str]:
    return cattrs.transform_error(error) if isinstance(error, cattrs.BaseValidationError) else [repr(error)]


def read(folder: Path) -> Recording:
    """Read a recording, without a last line that was cut off.

    Raises:
        BadRecording: it is missing or damaged, or a newer NanoClaw wrote it.
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
            raise BadRecording(f"{file}: it is not a regular file")
        if found.st_size > MAX_BYTES:
            raise BadRecording(f"{file}: it has {found.st_size:,} bytes; the limit is {MAX_BYTES:,}")
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
