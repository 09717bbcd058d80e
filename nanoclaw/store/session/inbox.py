"""Stores users' attachments in `inbox/<message_id>/`, before the row that names them is committed."""

import os
import stat
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

from attrs import evolve

from nanoclaw.records import Attachment
from nanoclaw.records.files import decoded
from nanoclaw.store.engine.errors import translating
from nanoclaw.store.engine.names import as_component
from nanoclaw.system.sandbox_user import shared_modes

MOUNTED_AT = "in/inbox"
"""Path of the inbox in the container, relative to /workspace."""


def store_attachments(
    inbox: Path, message_id: str, attachments: Sequence[Attachment]
) -> tuple[Attachment, ...]:
    """Write attachments that came as base64 and set their `local_path`. Blocking: run it on the executor.

    An event that is offered again after a crash overwrites its own files. An attachment with invalid base64
    loses its data and keeps its name, because the message matters more; see `lost`.

    Raises:
        StoreError: the disk is full or fails.
    """
    names = _distinct([as_component(attachment.name) for attachment in attachments])
    return tuple(
        _store(inbox / message_id, message_id, name, attachment)
        if attachment.data is not None
        else attachment
        for name, attachment in zip(names, attachments, strict=True)
    )


def lost(given: Sequence[Attachment], stored: Sequence[Attachment]) -> list[str]:
    """Return the names of the attachments that came with data and are not in the inbox."""
    return [
        before.name
        for before, after in zip(given, stored, strict=True)
        if before.data is not None and after.local_path is None
    ]


def with_lost_files(text: str, names: Sequence[str]) -> str:
    """Return a message's text with a line for each lost file, so that its reader knows of it."""
    lines = [f"[The file {name!r:.140} of this message is lost: its base64 is invalid.]" for name in names]
    return "\n".join([text, *lines] if text else lines)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, made unique by a number in front. Case is ignored, as in some file systems."""
    taken, chosen = set[str](), list[str]()
    for name in names:
        numbered = (f"{n}-{name}"[:128] for n in count(2))
        free = next(each for each in chain([name], numbered) if each.casefold() not in taken)
        taken.add(free.casefold())
        chosen.append(free)
    return chosen


def _store(folder: Path, message_id: str, name: str, attachment: Attachment) -> Attachment:
    try:
        data = decoded(attachment.data or "")
    except ValueError:
        return evolve(attachment, data=None)
    with translating(folder / name):
        _make_readable(folder)
        _write(folder / name, data)
    return evolve(attachment, data=None, local_path=f"{MOUNTED_AT}/{message_id}/{name}")


def _make_readable(folder: Path) -> None:
    """Make the folder of a message, and the inbox, for the user of sandboxes to read."""
    mode, _ = shared_modes()
    for each in (folder.parent, folder):
        each.mkdir(parents=True, exist_ok=True)
        if stat.S_IMODE(each.stat().st_mode) != mode:
            each.chmod(mode)


def _write(target: Path, data: bytes) -> None:
    _, mode = shared_modes()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
