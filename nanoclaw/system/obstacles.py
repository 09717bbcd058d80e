"""Finds what keeps this process from using a file: a link, a permission, a full disk, exhausted descriptors.

SQLite names none of these. It says "unable to open database file" or "disk I/O error" for all of them.
"""

import errno
import os
import pwd
import stat
from contextlib import suppress
from enum import Enum
from pathlib import Path

FULL_BELOW_BYTES = 1 << 16
"""A disk with less free space than this cannot take a commit."""


class Obstacle(Enum):
    """The kinds of obstacles. All but the first three may pass, and say nothing about the file's content."""

    MISSING = "missing"
    LINK = "link"
    IRREGULAR = "irregular"
    EXHAUSTED = "exhausted"
    DENIED = "denied"
    FULL = "full"
    FAILING = "failing"


_BY_ERRNO = {
    errno.ENOENT: Obstacle.MISSING,
    errno.ELOOP: Obstacle.LINK,
    errno.ENOTDIR: Obstacle.IRREGULAR,
    errno.EISDIR: Obstacle.IRREGULAR,
    errno.EEXIST: Obstacle.IRREGULAR,
    errno.ENXIO: Obstacle.IRREGULAR,
    errno.ENAMETOOLONG: Obstacle.IRREGULAR,
    errno.EMFILE: Obstacle.EXHAUSTED,
    errno.ENFILE: Obstacle.EXHAUSTED,
    errno.ENOMEM: Obstacle.EXHAUSTED,
    errno.EAGAIN: Obstacle.EXHAUSTED,
    errno.ENOLCK: Obstacle.EXHAUSTED,
    errno.EACCES: Obstacle.DENIED,
    errno.EPERM: Obstacle.DENIED,
    errno.EROFS: Obstacle.DENIED,
    errno.ENOSPC: Obstacle.FULL,
    errno.EDQUOT: Obstacle.FULL,
}


def kind_of(error: OSError) -> Obstacle:
    """Return the obstacle that an error of the operating system means. An unknown one is `FAILING`."""
    return _BY_ERRNO.get(error.errno or 0, Obstacle.FAILING)


def passes(error: OSError) -> bool:
    """Return whether the error may pass. It then says nothing about the file's content."""
    return kind_of(error) not in {Obstacle.MISSING, Obstacle.LINK, Obstacle.IRREGULAR}


def obstacle_at(path: Path) -> tuple[Obstacle, str]:
    """Return why a database file could not be opened, and what to do. It opens no file, only its folder.

    Opening and closing the file itself would drop SQLite's own locks on it.
    """
    try:
        found = path.lstat()
        os.close(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        return kind_of(error), advice(kind_of(error), path, error.strerror or str(error))
    if stat.S_ISLNK(found.st_mode):
        return Obstacle.LINK, _link(path)
    if not stat.S_ISREG(found.st_mode):
        return Obstacle.IRREGULAR, advice(Obstacle.IRREGULAR, path)
    if (denied := _denied(path)) is not None:
        return Obstacle.DENIED, denied
    if is_full(path):
        return Obstacle.FULL, advice(Obstacle.FULL, path)
    # It exists and may be opened, so the obstacle was gone when this looked.
    return Obstacle.EXHAUSTED, advice(Obstacle.EXHAUSTED, path)


def advice(kind: Obstacle, path: Path, reason: str = "") -> str:
    """Return what is wrong with `path`, and what to do. `reason` is the system's own words."""
    said = f" ({reason})" if reason else ""
    found = {
        Obstacle.LINK: _link,
        Obstacle.DENIED: _denied,
        Obstacle.MISSING: _denied,  # it could not be made in its folder
        Obstacle.FULL: _full_words,
        Obstacle.IRREGULAR: _irregular,
    }.get(kind)
    words = found(path) if found else None
    if words and kind is Obstacle.MISSING:
        return words  # the system's own words would say that it is missing
    return f"{words or _WORDS[kind]}{said}"


_WORDS = {
    Obstacle.MISSING: "cannot be opened: it does not exist; check that it exists",
    Obstacle.LINK: "cannot be opened: it is a symbolic link",
    Obstacle.IRREGULAR: "a file has the name of a needed directory; move it away",
    Obstacle.EXHAUSTED: "cannot be opened now: descriptors or memory are exhausted; this is tried again. "
    "If it lasts, raise the limit (`ulimit -n`, or LimitNOFILE= of the service)",
    Obstacle.DENIED: "may not be used now; check its permissions",
    Obstacle.FULL: "the disk is full; free some space",
    Obstacle.FAILING: "cannot be read or written now: its disk fails, or a quota is used up; check both",
}


def printable(path: str | Path) -> str:
    """Return the path as text that can be printed, with escapes for bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_text(path: Path) -> bool:
    """Return whether the path is valid UTF-8. SQLite takes no other."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _link(path: Path) -> str:
    """Return why a symbolic link is refused, where it points, and what to do."""
    target = "another file"
    with suppress(OSError):
        target = printable(path.parent / path.readlink())
    return (
        f"cannot be opened: it is a symbolic link to {target}. A database is not opened through a link, "
        "because its journal would be in another folder; move the file itself here (a folder may be a link)"
    )


def _irregular(path: Path) -> str | None:
    """Return what `path` is, if it is not a regular file."""
    with suppress(OSError):
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            return f"is not a regular file ({stat.filemode(mode)}); move it away"
    return None


# -- permissions ---------------------------------------------------------------


def _denied(path: Path) -> str | None:
    """Return which file or folder this process may not use, its owner, and what to do. None if it may."""
    for folder in reversed(path.parents):
        needed = os.X_OK if folder != path.parent else os.R_OK | os.W_OK | os.X_OK
        if folder.exists() and not may(folder, needed):
            return _words(folder, path)
    if os.path.lexists(path) and not may(path, os.R_OK | os.W_OK):
        return _words(path, path)
    return None


def may(path: Path, how: int) -> bool:
    """Return whether this process may use the path like that, as `os.access` asks."""
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)


def _words(place: Path, path: Path) -> str:
    here = "it" if place == path else f"its folder {printable(place)}"
    try:
        found = place.stat()
    except OSError:
        return f"may not be used: {here} is in a folder that this process may not enter"
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return f"cannot be written: {here} is on a disk that is mounted read-only; mount it for writing"
    mode, uid = stat.filemode(found.st_mode), os.geteuid()
    if found.st_uid == uid:
        more = "rwx" if stat.S_ISDIR(found.st_mode) else "rw"
        mended = f"`chmod u+{more} {printable(place)}` restores them"
        return f"may not be used: {here} has the permissions {mode}; {mended}"
    return (
        f"may not be used: {here} belongs to {_user(found.st_uid)} ({mode}), and this process runs as "
        f"{_user(uid)}; run NanoClaw as that user, change the owner, or choose another --data directory"
    )


def _user(uid: int) -> str:
    with suppress(KeyError):
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    return f"uid {uid}"


# -- the disk ------------------------------------------------------------------


def is_full(path: Path) -> bool:
    """Return whether the disk that holds `path` has no space for a commit, or no free inode."""
    with suppress(OSError):
        disk = os.statvfs(_existing(path))
        full = disk.f_bavail * disk.f_frsize < FULL_BELOW_BYTES
        return full or (disk.f_files > 0 and disk.f_favail == 0)
    return False


def _full_words(path: Path) -> str:
    place, free = _existing(path), ""
    if is_full(path):
        disk = os.statvfs(place)
        free = f"{disk.f_bavail * disk.f_frsize // 1024} KiB are free "
    return f"{_WORDS[Obstacle.FULL]} ({free}in {printable(place)})"


def _existing(path: Path) -> Path:
    return next((each for each in path.parents if each.is_dir()), Path("/"))
