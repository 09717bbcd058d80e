"""Stores users' attachments in `inbox/<message_id>/`, before the row that names them is committed."""

import stat
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from nanoclaw.records import Attachment
from nanoclaw.store.session.attached_files import LostFile, copy_files
from nanoclaw.system.sandbox_user import shared_modes

MOUNTED_AT = "in/inbox"
"""Path of the inbox in the container, relative to /workspace."""


def store_attachments(
    inbox: Path, message_id: str, attachments: Sequence[Attachment], *, base: Path = Path("/")
) -> tuple[tuple[Attachment, ...], tuple[LostFile, ...]]:
    """Store attachments that came with their content. Blocking: run it on the executor.

    An event that is offered again after a crash replaces its own files. Relative paths are below `base`.

    Returns:
        The attachments, with `local_path` instead of their content, and the files that are lost.

    Raises:
        StoreError: the disk is full or fails, or a file cannot be read now.
    """
    _, mode = shared_modes()
    copies = copy_files(attachments, inbox / message_id, base=base, mode=mode, make=_make_readable)
    stored = tuple(
        evolve(each, path=None, data=None, local_path=f"{MOUNTED_AT}/{message_id}/{copy.name}")
        if isinstance(copy, Path)
        else evolve(each, path=None, data=None)
        for each, copy in zip(attachments, copies, strict=True)
    )
    return stored, tuple(each for each in copies if isinstance(each, LostFile))


def _make_readable(folder: Path) -> None:
    """Make the folder of a message, and the inbox, for the user of sandboxes to read."""
    mode, _ = shared_modes()
    for each in (folder.parent, folder):
        each.mkdir(parents=True, exist_ok=True)
        if stat.S_IMODE(each.stat().st_mode) != mode:
            each.chmod(mode)
