"""Storing users' attachments below `inbox/<message_id>/`, before the row that names them commits."""

import base64
import binascii
import os
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

from attrs import evolve

from nanoclaw.records import Attachment
from nanoclaw.store.errors import translating
from nanoclaw.store.names import as_component

MOUNTED_AT = "in/inbox"
"""Where the inbox is in the container, below /workspace."""


def store_attachments(
    inbox: Path, message_id: str, attachments: Sequence[Attachment]
) -> tuple[Attachment, ...]:
    """Write those that came as base64 and give them their `local_path`; blocking, so it runs on the executor.

    Written twice (an event offered again after a crash) they replace themselves. What is no base64 keeps its
    name and loses its data: the message counts more than its attachment.

    Raises:
        StoreError: the disk is full, or fails.
    """
    names = _distinct([as_component(attachment.name) for attachment in attachments])
    return tuple(
        _store(inbox / message_id, message_id, name, attachment)
        if attachment.data is not None
        else attachment
        for name, attachment in zip(names, attachments, strict=True)
    )


def _distinct(names: Sequence[str]) -> list[str]:
    """Those names, a number before each that is taken; also where the file system ignores case."""
    taken, chosen = set[str](), list[str]()
    for name in names:
        numbered = (f"{n}-{name}"[:128] for n in count(2))
        free = next(each for each in chain([name], numbered) if each.casefold() not in taken)
        taken.add(free.casefold())
        chosen.append(free)
    return chosen


def _store(folder: Path, message_id: str, name: str, attachment: Attachment) -> Attachment:
    try:
        data = base64.b64decode(attachment.data or "", validate=True)
    except (binascii.Error, ValueError):
        return evolve(attachment, data=None)
    with translating(folder / name):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / name, data)
    return evolve(attachment, data=None, local_path=f"{MOUNTED_AT}/{message_id}/{name}")


def _write(target: Path, data: bytes) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
