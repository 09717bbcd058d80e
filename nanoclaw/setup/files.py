"""Private files of the home: each is replaced as a whole, and readable for its user alone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, ENOTDIR
from pathlib import Path
from tempfile import mkstemp

from nanoclaw.config import ConfigError
from nanoclaw.store.engine.connections import sync
from nanoclaw.system.obstacles import Obstacle, advice, kind_of, may, printable

PRIVATE_DIR = 0o700
PARTIAL = ".partial"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for their user alone. Raises ConfigError."""
    with naming(folder):
        for each in (*reversed(folder.parents), folder):
            if not each.is_dir():
                each.mkdir(mode=PRIVATE_DIR, exist_ok=True)


def require_writable(folder: Path) -> None:
    """Require that a folder can be written, or made if it is missing, before questions are asked for nothing.

    Raises:
        ConfigError: it cannot.
    """
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    with naming(folder):
        if not there.is_dir():
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))
        if not may(there, os.W_OK | os.X_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))


def write_private(file: Path, text: str) -> None:
    """Replace a file as a whole. A symbolic link is followed.

    Raises:
        ConfigError: it cannot be written. Then it is as it was.
    """
    with naming(file):
        real = Path(os.path.realpath(file))
        descriptor, name = mkstemp(prefix=f".{real.name}.", suffix=PARTIAL, dir=real.parent)
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(descriptor)
            partial.rename(real)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync(real.parent)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. It ends with the process at the latest, and leaves no file behind."""
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for leftover in folder.glob(f".config.toml*{PARTIAL}"):  # of a process that died
            leftover.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make errors of the system about a path a ConfigError that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if kind_of(error) in {Obstacle.DENIED, Obstacle.FULL}:
            raise ConfigError(f"{printable(path)}: {advice(kind_of(error), path, reason)}") from error
        raise ConfigError(
            f"{printable(path)}: cannot be made: {reason}; make its disk writable for you, or choose "
            "another place with --home, --data, --groups"
        ) from error
