"""The doctor's look at the data directory: owner, modes, free space, and the central database."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from nanoclaw.cli.doctor.findings import Finding
from nanoclaw.config import Config
from nanoclaw.registry.trigger_rules import unheard
from nanoclaw.store import Connection, HotJournal, StoreBusy, StoreError, check_file, read_once
from nanoclaw.store.central import damage
from nanoclaw.system.obstacles import printable

LITTLE_BYTES, TOO_LITTLE_BYTES = 1 << 30, 64 << 20
MOST = 10
"""Damaged rows and unheard wirings that are named."""


def data(config: Config) -> Iterator[Finding]:
    """Look at the directory, and at the central database in it."""
    folder = config.data
    try:
        found = folder.stat()
    except FileNotFoundError:
        yield Finding("data", "ok", f"{printable(folder)} is not made yet; the first run makes it")
        yield from space(folder)
        return
    except OSError as error:
        yield Finding(
            "data", "problem", f"{printable(folder)}: {error.strerror}", "check its path and its owner"
        )
        return
    yield _access(folder, found)
    yield from space(folder)
    yield from database(folder / "v2.db")


def _access(folder: Path, found: os.stat_result) -> Finding:
    shown = printable(folder)
    if not stat.S_ISDIR(found.st_mode):
        return Finding(
            "data", "problem", f"{shown} is not a folder", "move it away, or choose another --data"
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        mode = stat.filemode(found.st_mode)
        text = f"{shown} may not be used by you: it belongs to uid {found.st_uid} ({mode})"
        return Finding("data", "problem", text, "run NanoClaw as that user, or change the owner")
    if found.st_uid != os.geteuid():
        text = f"{shown} belongs to uid {found.st_uid}, and you are uid {os.geteuid()}"
        return Finding("data", "warning", text, "run NanoClaw as its owner, or files of two owners mix")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"{shown} is open to others ({stat.filemode(found.st_mode)})"
        return Finding("data", "warning", text, f"`chmod 700 {shown}`")
    return Finding("data", "ok", shown)


def space(folder: Path) -> Iterator[Finding]:
    """Look at the free space of the folder's disk."""
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    try:
        disk = os.statvfs(there)
    except OSError as error:
        yield Finding("disk", "warning", f"{printable(there)}: {error.strerror}", "look at it with `df`")
        return
    free = disk.f_bavail * disk.f_frsize
    shown = f"{free >> 20} MiB are free at {printable(there)}"
    if free < TOO_LITTLE_BYTES or (disk.f_files > 0 and disk.f_favail == 0):
        yield Finding("disk", "problem", shown, "free some space or inodes")
    else:
        little = free < LITTLE_BYTES
        yield Finding("disk", "warning" if little else "ok", shown, "free some space" if little else "")


# -- the central database --------------------------------------------------------


@frozen
class _Health:
    integrity: list[str]
    damaged: list[str]
    unheard: list[str]


def database(file: Path) -> Iterator[Finding]:
    """Look at the central database: it is whole, its rows fit, and each wiring hears somebody."""
    try:
        check_file(file)
        if not os.path.lexists(file):
            return
        health = read_once(file, _health)
    except (StoreBusy, HotJournal) as error:
        yield Finding("database", "warning", f"it is in use and was not looked at: {error}", "try again")
        return
    except StoreError as error:
        yield Finding("database", "problem", str(error))
        return
    except OSError as error:
        yield Finding(
            "database", "problem", f"{printable(file)}: {error.strerror}", "check its owner and mode"
        )
        return
    yield from _of_health(file, health)


def _health(connection: Connection) -> _Health:
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
    if found != ["ok"]:
        return _Health(found, [], [])
    return _Health([], damage.find(connection), list(unheard(connection)))


def _of_health(file: Path, health: _Health) -> Iterator[Finding]:
    if health.integrity:
        text = f"{printable(file)} is damaged: {'; '.join(health.integrity)}"
        yield Finding("database", "problem", text, "restore a backup (docs/how-to/back-up-and-restore.md)")
        return
    for sentence in health.damaged[:MOST]:
        yield Finding("database", "problem", sentence, "correct or delete that row")
    for sentence in health.unheard[:MOST]:
        yield Finding("wirings", "problem", sentence, "`nanoclaw wirings set --help` says how to correct it")
    if not health.damaged and not health.unheard:
        yield Finding("database", "ok", f"{printable(file)} is whole, and each wiring hears somebody")
