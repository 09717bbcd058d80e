"""The attachments of a message, as files that a model may be shown."""

import os
import re
import stat
from contextlib import suppress
from mimetypes import guess_type
from pathlib import Path

from attrs import frozen

from agent_runner.providers import ProviderContext
from agent_runner.records import Inbound

MOST = 20
BEGINNING = 4096
"""Bytes that are read to find the type of a file."""
_STORED = re.compile(r"in/inbox/([A-Za-z0-9_-][A-Za-z0-9._-]{0,127})/([A-Za-z0-9_-][A-Za-z0-9._-]{0,127})")
_SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)
"""The types that models take as blocks of their own."""
_SHOWN = frozenset(type_ for _, type_ in _SIGNATURES)


@frozen
class Attachment:
    """A file that a user sent."""

    name: str
    """The name that the user gave it."""
    path: Path
    """The file, below the session's inbox."""
    media_type: str
    """Its type, such as `image/png`; by its first bytes, not by its name."""


def attachments(context: ProviderContext, message: Inbound) -> tuple[Attachment, ...]:
    """Return the files of a message that are there. Only the first 20 are looked at."""
    listed = message.content.get("attachments")
    found = (
        _attachment(context.inbound, each) for each in (listed if isinstance(listed, list) else [])[:MOST]
    )
    return tuple(each for each in found if each)


def _attachment(inbound: Path, attachment: object) -> Attachment | None:
    match attachment:
        case {"localPath": str(local), **rest} if stored := _STORED.fullmatch(local):
            path = inbound / "inbox" / stored[1] / stored[2]
            beginning = _beginning(path)
            name = str(rest.get("name") or path.name)
            return None if beginning is None else Attachment(name, path, _media_type(beginning, name))
        case _:
            return None


def _beginning(path: Path) -> bytes | None:
    """Return the first bytes of a regular file, or None if there is none."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return os.read(descriptor, BEGINNING)
        finally:
            os.close(descriptor)
    return None


def _media_type(beginning: bytes, name: str) -> str:
    """Return the type of a file. Its name decides only between types that no model takes as a block."""
    for signature, type_ in _SIGNATURES:
        if signature.match(beginning):
            return type_
    guessed = guess_type(name.rpartition("/")[2])[0]
    if guessed and guessed not in _SHOWN:
        return guessed
    return "text/plain" if _is_text(beginning) else "application/octet-stream"


def _is_text(beginning: bytes) -> bool:
    """Return True for UTF-8 without control codes. The last character may be cut."""
    text = (
        beginning.decode(errors="replace")[:-1]
        if len(beginning) == BEGINNING
        else beginning.decode(errors="replace")
    )
    return "\ufffd" not in text and "\0" not in text
