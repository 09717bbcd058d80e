"""Creates a session's `outbound.db` before its first container starts. Later only the runner writes it."""

import os
from contextlib import suppress
from pathlib import Path

from nanoclaw.records import SessionPaths
from nanoclaw.store.engine import migration_steps
from nanoclaw.store.engine.connections import PRIVATE_DIR, make_private_dir, open_writable, sync
from nanoclaw.store.engine.errors import translating
from nanoclaw.store.engine.migrations import apply_session


def create_outbound(paths: SessionPaths, *, owner: tuple[int, int] | None) -> bool:
    """Create `outbound/`, `outbox/` and `outbound.db` with its schema. Return False if the file exists.

    `owner` is the (uid, gid) of the container's user, if it is not the host's. Run it on the executor.

    Raises:
        StoreError: the disk is full or not writable.
    """
    with translating(paths.outbound_db):
        if _exists(paths.outbound_db):
            return False
        make_private_dir(paths.root)
        for directory in (paths.outbound_dir, paths.outbox):
            _make_dir(directory, owner)
        # Build it outside the mount, where no container can interfere.
        built = paths.root / "outbound.db.new"
        _build(built, owner)
        built.rename(paths.outbound_db)
        sync(paths.outbound_dir)
    return True


def _exists(path: Path) -> bool:
    """Return whether the path exists, also as a link. An error of the disk is raised: it is no answer."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _make_dir(directory: Path, owner: tuple[int, int] | None) -> None:
    with suppress(FileExistsError):
        directory.mkdir(PRIVATE_DIR)
    if owner is not None:  # also for an existing folder: a host may have died before this line
        os.chown(directory, *owner, follow_symlinks=False)


def _build(path: Path, owner: tuple[int, int] | None) -> None:
    path.unlink(missing_ok=True)
    Path(f"{path}-journal").unlink(missing_ok=True)
    connection = open_writable(path)
    try:
        with connection:
            for migration in migration_steps.outbound():
                apply_session(connection, migration)
    finally:
        connection.close()
    if owner is not None:
        os.chown(path, *owner, follow_symlinks=False)
    sync(path)
