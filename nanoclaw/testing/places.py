"""Where a world keeps its files: in memory where the system offers that, for speed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

IN_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is made in it is made by tempfile

_place: ContextVar[Path | None] = ContextVar("place", default=None)


def live_in(place: Path) -> None:
    """From now on the worlds of this process have their folders in `place`, which somebody removes."""
    _place.set(place)


@contextmanager
def temporary_home(prefix: str = "nanoclaw-world-") -> Iterator[Path]:
    """A fresh folder for a world, removed afterwards."""
    in_memory = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=prefix, dir=_place.get() or in_memory) as folder:
        yield Path(folder)
