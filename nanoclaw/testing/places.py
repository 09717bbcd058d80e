"""Where a world keeps its files: in memory where the system offers that, for speed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is made in it is made by tempfile


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A fresh folder for a world, removed afterwards."""
    place = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="nanoclaw-world-", dir=place) as folder:
        yield Path(folder)
