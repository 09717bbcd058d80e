"""Removes folders that an agent may have filled, as `nanoclaw.system.trees` does for the host.

`shutil.rmtree` recurses and opens a descriptor for each level, so a tree of some thousand levels stops it.
Here a folder in a folder is moved up to the top before it is emptied, so depth costs nothing. Neither links
nor mounts are followed.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: Path) -> None:
    """Remove a folder and all that is in it. A removal that was interrupted can be repeated. Blocking.

    Raises:
        OSError: something cannot be removed, or the folder is none. A part may be gone.
    """
    top = os.open(folder, _FOLDER)
    try:
        while entries := _entries(top):
            for name, is_folder in entries:
                _remove(name, top, is_folder=is_folder)
    finally:
        os.close(top)
    folder.rmdir()


def _remove(name: str, top: int, *, is_folder: bool) -> None:
    """Remove one entry of the top folder. Move the folders in it up to the top first."""
    if not is_folder:
        os.unlink(name, dir_fd=top)
        return
    _allow(name, top)
    folder = os.open(name, _FOLDER, dir_fd=top)
    try:
        for inside, is_folder_too in _entries(folder):
            if is_folder_too:
                _allow(inside, folder)
                os.rename(inside, f".{token_hex(16)}", src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(inside, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _entries(folder: int) -> Sequence[tuple[str, bool]]:
    """Return the names in a folder, with True for folders."""
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _allow(name: str, folder: int) -> None:
    """Let the owner of a folder change it, where the system can do that without following a link."""
    with suppress(OSError):
        opened = os.open(name, _FOLDER | getattr(os, "O_PATH", 0), dir_fd=folder)
        try:
            os.chmod(f"/proc/self/fd/{opened}", 0o700)  # noqa: PTH101 -- a link of the kernel to what is open
        finally:
            os.close(opened)
