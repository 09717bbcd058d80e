"""Trees that are deeper than any path, as a hostile agent makes them."""

import os
from pathlib import Path

LEVELS = 10_000


def make_deep(folder: Path, levels: int = LEVELS) -> None:
    """Make a folder with folders nested in it; the innermost one has a file."""
    folder.mkdir(parents=True, exist_ok=True)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
