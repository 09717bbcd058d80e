"""The folders of worlds, in memory if the system offers that."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

IN_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is made in it is made by tempfile

WORLDS = ".worlds"
"""A file that counts the worlds that have used a folder."""

_place: ContextVar[Path | None] = ContextVar("place", default=None)


def live_in(place: Path) -> None:
    """Put the folders of this process's worlds into `place` from now on. The caller removes it."""
    _place.set(place)


@contextmanager
def temporary_home(prefix: str = "nanoclaw-world-") -> Iterator[Path]:
    """A fresh folder for a world, removed afterwards."""
    in_memory = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=prefix, dir=_place.get() or in_memory) as folder:
        yield Path(folder)


def nth_world(folder: Path) -> int:
    """Count a world that starts to use a folder; return its number, from 1."""
    file = folder / WORLDS
    nth = int(file.read_text("ascii")) + 1 if file.exists() else 1
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(str(nth), "ascii")
    return nth
