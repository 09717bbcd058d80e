"""Lists folders, and finds files by a pattern of their paths."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import translate
from functools import lru_cache

from agent_runner.errors import ToolError
from agent_runner.sandbox.roots import Roots, open_folder

MOST_SHOWN = 1_000
MOST_LOOKED_AT = 200_000
"""Files that are looked at."""
DEEPEST = 64
"""Nested folders."""
MOST_PARTS = 32
"""Components of a pattern."""
SKIPPED = {".git"}
"""Folders that a search does not enter."""


def list_folder(roots: Roots, path: str) -> str:
    """Return the entries of a folder, one a line. Raises ToolError."""
    with roots.find(path) as found:
        folder = open_folder(found)
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 -- by its descriptor
            lines = [_described(folder, name) for name in names[:MOST_SHOWN]]
        finally:
            os.close(folder)
    return _text(lines, len(names) - len(lines), "the folder is empty")


def _described(folder: int, name: str) -> str:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return name
    match stat.S_IFMT(status.st_mode):
        case stat.S_IFDIR:
            return f"{name}/"
        case stat.S_IFREG:
            return f"{name}  ({status.st_size:,} bytes)"
        case stat.S_IFLNK:
            return f"{name} -> {_target(folder, name)}"
        case _:
            return f"{name}  (a special file)"


def _target(folder: int, name: str) -> str:
    with suppress(OSError):
        return os.readlink(name, dir_fd=folder)
    return "?"


def find_files(roots: Roots, path: str, pattern: str) -> str:
    """Return the paths of the files below a folder that fit a pattern. Raises ToolError."""
    parts = _parts(pattern)
    shown: list[str] = []
    looked_at = 0
    with roots.find(path) as found:
        folder = open_folder(found)
        try:
            for name, is_folder in _walk(folder):
                looked_at += 1
                if _fits(tuple(name.split("/")), parts):
                    shown.append(f"{name}/" if is_folder else name)
                if len(shown) > MOST_SHOWN or looked_at >= MOST_LOOKED_AT:
                    break
        finally:
            os.close(folder)
    more = len(shown) > MOST_SHOWN or looked_at >= MOST_LOOKED_AT
    text = _text(sorted(shown[:MOST_SHOWN]), 0, f"nothing fits {pattern!r}")
    return f"{text}\n[There may be more. Use a narrower pattern or path.]" if more else text


def _text(lines: Sequence[str], left_out: int, nothing: str) -> str:
    note = [f"[{left_out:,} more]"] if left_out > 0 else []
    return "\n".join([*lines, *note]) or f"({nothing})"


def _walk(folder: int) -> Iterator[tuple[str, bool]]:
    """Yield the paths below a folder, and True for folders. Links are not followed."""
    for root, folders, files, _ in os.fwalk(".", dir_fd=folder, follow_symlinks=False):
        prefix = root[2:] + "/" if root != "." else ""
        yield from ((prefix + name, True) for name in folders)
        yield from ((prefix + name, False) for name in files)
        deep = prefix.count("/") >= DEEPEST
        folders[:] = [] if deep else sorted(name for name in folders if name not in SKIPPED)


def _parts(pattern: str) -> tuple[str, ...]:
    """Return the components of a pattern. One without a slash fits names in all folders."""
    parts = tuple(part for part in pattern.split("/") if part not in ("", "."))
    if not parts or len(parts) > MOST_PARTS or len(pattern) > 1_000:  # noqa: PLR2004 -- more is a mistake
        raise ToolError("a pattern is one such as `*.py`, `src/*.py` or `**/test_*.py`")
    return parts if "/" in pattern else ("**", *parts)


def _fits(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Return True if a path fits. `reached` are the lengths of the pattern's beginnings that fit so far."""
    reached = _past_stars({0}, parts)
    for name in names:
        after = {at for at in reached if at < len(parts) and parts[at] == "**"}
        after |= {
            at + 1
            for at in reached
            if at < len(parts) and parts[at] != "**" and _compiled(parts[at]).match(name)
        }
        reached = _past_stars(after, parts)
        if not reached:
            return False
    return len(parts) in reached


def _past_stars(reached: set[int], parts: tuple[str, ...]) -> set[int]:
    """Add what follows each `**`, which also fits no folder at all."""
    for at in range(len(parts)):
        if at in reached and parts[at] == "**":
            reached = reached | {at + 1}
    return reached


@lru_cache(64)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(translate(part))
