"""Acting as an ordinary user, whom permissions bind. Root may read and write everything."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
"""The id of a user and a group without rights."""


@contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """Run as the unprivileged owner of everything below a folder."""
    if os.geteuid() != 0:
        yield
        return
    for place in (folder, *folder.rglob("*")):
        os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
