"""Storing users' attachments below `inbox/<message_id>/`, before the row that names them commits."""

import base64
import binascii
import os
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from nanoclaw.records import Attachment
from nanoclaw.store.names import as_component

MOUNTED_AT = "in/inbox"
"""Where the inbox is in the container, below /workspace."""


def store_attachments(
    inbox: Path, message_id: str, attachments: Sequence[Attachment]
) -> tuple[Attachment, ...]:
    """Write those that came as base64 and give them their `local_path`; blocking, so it runs on the executor.

    Written twice (an event offered again after a crash) they replace themselves. What is no base64 keeps its
    name and loses its data: the message counts more than its attachment.
    """
    return tuple(
        _store(inbox / message_id, message_id, index, attachment)
        if attachment.data is not None
        else attachment
        for index, attachment in enumerate(attachments)
    )


def _store(folder: Path, message_id: str, index: int, attachment: Attachment) -> Attachment:
    try:
        data = base64.b64decode(attachment.data or "", validate=True)
    except (binascii.Error, ValueError):
        return evolve(attachment, data=None)
    name = as_component(attachment.name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / name if index == 0 or not (folder / name).exists() else folder / f"{index}-{name}"[:128]
    _write(target, data)
    return evolve(attachment, data=None, local_path=f"{MOUNTED_AT}/{message_id}/{target.name}")


def _write(target: Path, data: bytes) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
