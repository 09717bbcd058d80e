"""An error of the system is no verdict on a file: it is told apart, retried, and explained.

Exhausted descriptors and failing reads are real. Permissions are real too: root tests them as another user.
"""

# ruff: noqa: ASYNC240 -- a test may block
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
import trio
from trio.testing import MockClock

from nanoclaw.simulation.system_limits import no_descriptor, no_read
from nanoclaw.store import (
    CannotOpen,
    Exhausted,
    ReadOnlyStore,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Untrusted,
    UntrustedReader,
    create_outbound,
    open_reader,
    open_untrusted,
    read_once,
)
from nanoclaw.store.engine.connections import open_writable
from nanoclaw.store.engine.errors import translated, translated_os
from nanoclaw.system import obstacles
from nanoclaw.testing.world.executor import InlineExecutor
from tests.ordinary_user import NOBODY, as_owner
from tests.store.openings import a_session, central, inbound, keys, on_disk, paths_in, put

PASSING = ["EMFILE", "ENFILE", "ENOMEM", "EIO", "ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "ESTALE"]


Hindrance = Callable[[], AbstractContextManager[None]]


def hindered(executor: InlineExecutor, until_s: float, how: Hindrance) -> None:
    """Hinder all calls of the executor until a moment of virtual time."""
    executor.around = lambda: how() if trio.current_time() < until_s else nullcontext()


@contextmanager
def without_rights(*places: Path) -> Iterator[None]:
    """Take all permissions away. Root, which needs none, becomes another user who owns the places."""
    before = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        for place, mode in before.items():
            place.chmod(mode)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that other users may reach. pytest closes its own, at the start of each run."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@asynccontextmanager
async def guarded(path: Path, executor: InlineExecutor) -> AsyncIterator[UntrustedReader]:
    async with open_untrusted(path, executor, patience_s=0.5) as reader:
        yield reader


@pytest.fixture
def outbound(tmp_path: Path) -> Path:
    paths = paths_in(tmp_path)
    create_outbound(paths, owner=None)
    with closing(apsw.Connection(str(paths.outbound_db))) as connection:
        put(connection, "a")
    return paths.outbound_db


def virtually(main: Callable[[], object]) -> None:
    trio.run(main, clock=MockClock(autojump_threshold=0))  # type: ignore[arg-type]  # an async function


# -- a container's file --------------------------------------------------------------


@pytest.mark.parametrize(("how", "error"), [(no_descriptor, Exhausted), (no_read, StoreUnavailable)])
def test_a_containers_file_that_the_system_cannot_serve_is_not_refused_and_is_read_later(
    outbound: Path, how: Hindrance, error: type[StoreError]
) -> None:
    async def main() -> None:
        executor = InlineExecutor()
        async with guarded(outbound, executor) as reader:
            hindered(executor, 5.0, how)
            with pytest.raises(error) as raised:
                await reader.run(keys)
            assert not isinstance(raised.value, Untrusted)
            await trio.sleep_until(5.0)
            assert await reader.run(keys) == ["a"]

    virtually(main)


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_containers_file_without_permissions_is_not_refused_and_is_read_later(
    outbound: Path, place: str
) -> None:
    async def main() -> None:
        async with guarded(outbound, InlineExecutor()) as reader:
            with (
                without_rights(outbound if place == "file" else outbound.parent),
                pytest.raises(ReadOnlyStore),
            ):
                await reader.run(keys)
            assert await reader.run(keys) == ["a"]

    virtually(main)


@pytest.mark.parametrize("name", PASSING)
def test_these_errors_of_the_system_are_no_verdict(name: str, tmp_path: Path) -> None:
    error = OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
    assert isinstance(translated_os(error, tmp_path / "x.db"), StoreUnavailable)


# -- our own files -------------------------------------------------------------------


def test_a_write_waits_for_descriptors(tmp_path: Path) -> None:
    async def main() -> None:
        executor = InlineExecutor()
        async with a_session(tmp_path, executor) as writer:
            await writer.rest()
            hindered(executor, 3.0, no_descriptor)
            await writer.run(put, "a")
            assert 3.0 <= trio.current_time() < 3.2

    virtually(main)
    assert on_disk(paths_in(tmp_path).inbound_db) == ["a"]


def test_a_journal_that_gets_no_descriptor_fails_no_single_item(tmp_path: Path) -> None:
    async def main() -> None:
        executor = InlineExecutor()
        async with a_session(tmp_path, executor) as writer:
            hindered(executor, 2.0, no_descriptor)
            outcomes = await writer.run_each(put, ["a", "b"])
            assert [outcome.unwrap() for outcome in outcomes] == [None, None]

    virtually(main)
    assert on_disk(paths_in(tmp_path).inbound_db) == ["a", "b"]


def test_a_write_without_descriptors_fails_in_the_end_and_the_next_one_succeeds(tmp_path: Path) -> None:
    async def main() -> None:
        executor = InlineExecutor()
        async with a_session(tmp_path, executor) as writer:
            await writer.rest()
            hindered(executor, 8.0, no_descriptor)
            with pytest.raises(Exhausted, match="ulimit -n"):
                await writer.run(put, "a")
            await writer.run(put, "b")

    virtually(main)
    assert on_disk(paths_in(tmp_path).inbound_db) == ["b"]


def test_a_session_opens_once_there_are_descriptors(tmp_path: Path) -> None:
    async def main() -> None:
        executor = InlineExecutor()
        hindered(executor, 1.0, no_descriptor)
        async with a_session(tmp_path, executor) as writer:
            await writer.run(put, "a")

    virtually(main)


def test_a_read_waits_for_descriptors(tmp_path: Path) -> None:
    async def main() -> None:
        executor = InlineExecutor()
        async with a_session(tmp_path, executor) as writer:
            await writer.run(put, "a")
            async with open_reader(paths_in(tmp_path).inbound_db, executor) as reader:
                hindered(executor, 2.0, no_descriptor)
                assert await reader.run(keys) == ["a"]

    virtually(main)


def test_an_outbound_file_that_cannot_be_seen_is_not_replaced(
    outbound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Path) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))

    monkeypatch.setattr(Path, "lstat", fails)
    with pytest.raises(StoreUnavailable):
        create_outbound(paths_in(tmp_path), owner=None)
    monkeypatch.undo()
    assert on_disk(outbound) == ["a"]


# -- what is said --------------------------------------------------------------------


async def test_a_folder_of_another_user_is_named_with_its_owner(tmp_path: Path) -> None:
    async with central(tmp_path / "data"):
        pass
    with without_rights(tmp_path / "data"), pytest.raises(ReadOnlyStore) as raised:
        async with central(tmp_path / "data"):
            pass
    words = str(raised.value)
    assert "its folder" in words
    assert "chmod u+" in words or "belongs to" in words


async def test_a_linked_database_is_refused_with_its_target(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "v2.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(CannotOpen, match=r"symbolic link to .*elsewhere\.db.*move the file itself here"):
        async with central(tmp_path / "data"):
            pass


def test_a_linked_database_is_not_read_either(tmp_path: Path) -> None:
    (tmp_path / "v2.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(CannotOpen, match="symbolic link"):
        read_once(tmp_path / "v2.db", keys)


async def test_a_path_that_is_not_utf_8_is_refused_in_printable_words(tmp_path: Path) -> None:
    data = tmp_path / os.fsdecode(b"d\xff")
    with pytest.raises(CannotOpen, match="not valid UTF-8") as raised:
        async with central(data):
            pass
    assert "d\\xff" in str(raised.value).encode().decode()


@pytest.mark.parametrize("error", [apsw.IOError("disk I/O error"), apsw.FullError("full")])
def test_a_full_disk_is_called_full_whatever_sqlite_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: apsw.Error
) -> None:
    (tmp_path / "v2.db").touch()
    monkeypatch.setattr(obstacles, "is_full", lambda _path: True)
    found = translated(error, tmp_path / "v2.db")
    assert isinstance(found, StoreFull)
    assert f"KiB are free in {tmp_path})" in str(found)


# -- what was read-only for a while --------------------------------------------------


async def test_a_read_only_database_is_refused_without_sidecars(tmp_path: Path) -> None:
    async with central(tmp_path / "data"):
        pass
    database = tmp_path / "data" / "v2.db"
    with as_owner(tmp_path):
        database.chmod(0o400)
        with pytest.raises(ReadOnlyStore, match=r"chmod u\+rw .*v2\.db"):
            open_writable(database)
    assert sorted(each.name for each in database.parent.iterdir()) == ["owner", "v2.db"]


async def test_sidecars_and_locks_that_were_left_read_only_are_mended(tmp_path: Path) -> None:
    async with central(tmp_path / "data"):
        pass
    left = [tmp_path / "data" / name for name in ("v2.db-wal", "v2.db-shm", "owner")]
    for each in left:
        each.touch()
        each.chmod(0o400)
    with as_owner(tmp_path):
        async with central(tmp_path / "data") as writer:
            await writer.run(lambda connection: connection.execute("CREATE TABLE mended (x)").fetchall())


async def test_a_journal_that_was_left_read_only_is_mended(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    async with inbound(paths):
        pass
    journal = Path(f"{paths.inbound_db}-journal")
    journal.touch()
    journal.chmod(0o400)
    with as_owner(tmp_path):
        async with inbound(paths) as writer:
            await writer.run(put, "a")
