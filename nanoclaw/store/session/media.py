"""The folder `data/media`: the files of events that wait (`in/`), and of deliveries in flight (`out/`).

A file of an event that waits belongs to the row of `parked_events` or `held_messages` that names it. Each row
has a folder of its own, made before the row. A folder that no row names is removed.
"""

from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path
from shutil import rmtree

import apsw
from attrs import evolve

from nanoclaw.records import Attachment
from nanoclaw.store.engine.errors import translating
from nanoclaw.store.session.attached_files import LostFile, copy_files

WAITING = Path("media", "in")
SENDING = Path("media", "out")
"""The two folders, below the data directory."""


# -- events that wait ------------------------------------------------------------


def keep(
    data: Path, name: str, attachments: Sequence[Attachment]
) -> tuple[tuple[Attachment, ...], tuple[LostFile, ...]]:
    """Copy the files that attachments name into a new folder. Blocking: run it on the executor.

    Base64 stays in its attachment. The folder's name begins with `name`.

    Returns:
        The attachments, whose paths are below `data`, and the files that are lost.

    Raises:
        StoreError: the disk is full or fails, or a file cannot be read now.
    """
    with translating(data / WAITING):
        folder = _new_folder(data / WAITING, name)
    copies = copy_files([evolve(each, data=None) for each in attachments], folder, base=data)
    kept = tuple(
        evolve(each, path=copy.relative_to(data) if isinstance(copy, Path) else None)
        for each, copy in zip(attachments, copies, strict=True)
    )
    return kept, tuple(each for each in copies if isinstance(each, LostFile))


def size_of(data: Path, attachments: Sequence[Attachment]) -> int:
    """Return the bytes of the files that attachments name. Those that are missing have none."""
    return sum(_size(data / each.path) for each in attachments if each.path is not None)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder whose name nobody uses, and return it."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for n in count():
        folder = parent / f"{name}.{n}"
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder
    raise AssertionError  # `count` never ends


def waiting_folders(data: Path) -> list[str]:
    """Return the names of the folders of events that wait."""
    try:
        return sorted(each.name for each in (data / WAITING).iterdir())
    except FileNotFoundError:
        return []


def without_row(connection: apsw.Connection, names: Collection[str]) -> list[str]:
    """Return the folders that no event names."""
    return [name for name in names if not _is_named(connection, f"{WAITING}/{name}/")]


def _is_named(connection: apsw.Connection, place: str) -> bool:
    found = connection.execute(
        """
        SELECT EXISTS (SELECT 1 FROM parked_events WHERE instr(event, :place))
            OR EXISTS (SELECT 1 FROM held_messages WHERE instr(event, :place))
        """,
        {"place": place},
    )
    return bool(found.get)


def forget(data: Path, names: Collection[str]) -> None:
    """Remove folders of events that wait no more."""
    for name in names:
        rmtree(data / WAITING / name, ignore_errors=True)


# -- deliveries in flight --------------------------------------------------------


def sending_folder(data: Path) -> Path:
    """Make a folder for the files of one delivery, and return it.

    Raises:
        StoreError: the disk is full or fails.
    """
    with translating(data / SENDING):
        return _new_folder(data / SENDING, "delivery")


def forget_deliveries(data: Path) -> None:
    """Remove the files of deliveries that an earlier host did not finish."""
    rmtree(data / SENDING, ignore_errors=True)
