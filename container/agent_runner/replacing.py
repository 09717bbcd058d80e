"""Replaces small files that readers may open at any time."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file by a rename, without syncing it. Readers see the old or the new content.

    Raises OSError.
    """
    aside = path.with_name(f"{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(aside, flags, 0o600)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
    aside.rename(path)
