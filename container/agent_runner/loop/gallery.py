"""Pictures and PDFs: which a model is shown, and the words for those that it is not."""

import os
import stat
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from attrs import define, field

from agent_runner.loop.conversation import Asked, Blob, FilePart, Message, Part, Text
from agent_runner.prompt import attachments
from agent_runner.providers import ProviderContext
from agent_runner.records import Inbound

SHOWN = {"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"}
LARGEST = 5 * 1024 * 1024
"""Bytes of a file that is shown."""
LARGEST_ALL = 20 * 1024 * 1024
"""Bytes of all files that one request shows."""


def files_of(context: ProviderContext, messages: Sequence[Inbound]) -> Iterator[FilePart]:
    """Yield the files of messages that a model can be shown. The prompt names the others."""
    for message in messages:
        for found in attachments(context, message):
            if found.media_type in SHOWN:
                yield FilePart(found.name, found.path, found.media_type)


def folders_of(context: ProviderContext) -> Sequence[Path]:
    """Return the folders whose files the model may be shown: those of attachments and of read_file."""
    read_by_tools = (context.inbound, context.workspace, context.shared, context.outbound / "outbox")
    return (context.inbound, *(each.resolve() for each in read_by_tools))


@define(eq=False)
class Gallery:
    """Reads the files of one turn, each once."""

    _context: ProviderContext
    _contents: dict[Path, bytes | None] = field(factory=dict, init=False)
    _left: int = field(default=LARGEST_ALL, init=False)
    """Bytes that the present request may still show."""

    @cached_property
    def _folders(self) -> Sequence[Path]:
        """The folders of the session. Files elsewhere are not read."""
        return folders_of(self._context)

    def show(self, messages: Sequence[Message], *, recent: int, allowed: bool) -> Sequence[Message]:
        """Return messages whose files are contents, or words about them.

        Files are shown in the messages from the index `recent` on, if they are `allowed`.
        """
        self._left = LARGEST_ALL
        return [
            Asked(tuple(self._part(part, shown=allowed and n >= recent) for part in message.parts))
            if isinstance(message, Asked) and any(isinstance(part, FilePart) for part in message.parts)
            else message
            for n, message in enumerate(messages)
        ]

    def _part(self, part: Part, *, shown: bool) -> Part:
        if not isinstance(part, FilePart):
            return part
        data = self._read(part.path) if shown else None
        if data is None or len(data) > self._left:
            return Text(f"[The file {part.name!r} ({part.media_type}) is not shown to you.]")
        self._left -= len(data)
        return Blob(part.name, part.media_type, data)

    def _read(self, path: Path) -> bytes | None:
        if path not in self._contents:
            self._contents[path] = _read(path) if any(map(path.is_relative_to, self._folders)) else None
        return self._contents[path]


def _read(path: Path) -> bytes | None:
    """Return the content of a file, or None if it is gone, too large, or not a plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        return file.read(LARGEST) if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= LARGEST else None
