"""The kernel's file events: hints arrive, a flooding directory is polled, an overflow sweeps all."""

import errno
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import Factory, define
from trio.testing import MockClock, wait_all_tasks_blocked

from nanoclaw.system import wakeups as module
from nanoclaw.system.wakeups import FLOOD_PER_S, POLL_S, Wakeups, open_wakeups
from tests.host.homes import GUARD_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")

QUEUE = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) if sys.platform == "linux" else 0
"""Limit of events that the kernel queues."""


@define(eq=False)
class Bell:
    """Counts the calls of a watcher."""

    rung: int = 0
    _event: trio.Event = Factory(trio.Event)

    def __call__(self) -> None:
        self.rung += 1
        self._event.set()
        self._event = trio.Event()

    async def next(self) -> None:
        await self._event.wait()


def commit(directory: Path) -> None:
    """Create and remove a journal, as SQLite does in DELETE mode."""
    journal = directory / "outbound.db-journal"
    journal.touch()
    journal.unlink()


@asynccontextmanager
async def running() -> AsyncIterator[Wakeups]:
    with trio.fail_after(GUARD_S), open_wakeups() as wakeups:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wakeups.run)
            yield wakeups
            nursery.cancel_scope.cancel()


class Log:
    """Collects log events."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


async def test_a_commit_wakes_its_watcher_and_no_other(tmp_path: Path) -> None:
    bells = {name: Bell() for name in "ab"}
    async with running() as wakeups:
        for name in bells:
            (tmp_path / name).mkdir()
        with wakeups.watch(tmp_path / "a", bells["a"]), wakeups.watch(tmp_path / "b", bells["b"]):
            commit(tmp_path / "a")
            await bells["a"].next()
            (tmp_path / "b" / "other").touch()
            (tmp_path / "b" / "other").unlink()
            commit(tmp_path / "a")
            await bells["a"].next()
            assert bells["b"].rung == 0


async def test_the_rename_of_a_draft_rings_a_bell_of_its_own(tmp_path: Path) -> None:
    looks, drafts = Bell(), Bell()
    async with running() as wakeups:
        with wakeups.watch(tmp_path, looks, drafts):
            for name in ("other", ".draft"):
                (tmp_path / "aside").touch()
                (tmp_path / "aside").rename(tmp_path / name)
            await drafts.next()
            assert looks.rung == 0
            commit(tmp_path)
            await looks.next()
            assert drafts.rung == 1


async def test_a_directory_can_be_watched_again_after_its_watcher_left(tmp_path: Path) -> None:
    bell = Bell()
    async with running() as wakeups:
        for _ in range(3):
            with wakeups.watch(tmp_path, bell):
                commit(tmp_path)
                await bell.next()
        rung = bell.rung
        commit(tmp_path)
        await wait_all_tasks_blocked()
        assert bell.rung == rung


async def test_a_directory_is_watched_once(tmp_path: Path) -> None:
    with open_wakeups() as wakeups, wakeups.watch(tmp_path, Bell()):
        again = wakeups.watch(tmp_path, Bell())
        with pytest.raises(RuntimeError, match="watched already"):
            again.__enter__()


async def test_a_directory_that_is_removed_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    bell = Bell()
    async with running() as wakeups:
        with wakeups.watch(tmp_path / "b", bell):
            with wakeups.watch(tmp_path / "a", Bell()):
                (tmp_path / "a").rmdir()
                commit(tmp_path / "b")
                await bell.next()
            commit(tmp_path / "b")
            await bell.next()


async def test_a_flood_costs_its_directory_the_watch_and_it_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    monkeypatch.setattr(module, "_log", log)
    monkeypatch.setattr(module, "SWEEP_S", 0.01)
    bells = {name: Bell() for name in ("loud", "quiet")}
    async with running() as wakeups:
        for name in bells:
            (tmp_path / name).mkdir()
        with (
            wakeups.watch(tmp_path / "loud", bells["loud"]),
            wakeups.watch(tmp_path / "quiet", bells["quiet"]),
        ):
            flood(tmp_path / "loud", FLOOD_PER_S + 1)
            await bells["loud"].next()
            [(event, fields)] = log.lines
            assert (event, fields["directory"]) == ("wakeups.flood", str(tmp_path / "loud"))
            await bells["loud"].next()  # without further events: the directory is polled
            assert "more than 1,000 events" in str(wakeups.polled(tmp_path / "loud"))
            assert wakeups.polled(tmp_path / "quiet") is None
            commit(tmp_path / "quiet")
            await bells["quiet"].next()
            assert bells["quiet"].rung == 1


async def test_a_thousand_events_in_a_second_are_no_flood(tmp_path: Path) -> None:
    bell = Bell()
    async with running() as wakeups:
        with wakeups.watch(tmp_path, bell):
            flood(tmp_path, FLOOD_PER_S - 1)
            commit(tmp_path)
            await bell.next()
            assert wakeups.polled(tmp_path) is None


async def test_lost_events_are_made_good_by_a_look_everywhere(tmp_path: Path) -> None:
    bells = {name: Bell() for name in ("loud", "lost")}
    with trio.fail_after(GUARD_S), open_wakeups() as wakeups:
        for name in bells:
            (tmp_path / name).mkdir()
        with (
            wakeups.watch(tmp_path / "loud", bells["loud"]),
            wakeups.watch(tmp_path / "lost", bells["lost"]),
        ):
            flood(tmp_path / "loud", QUEUE + 1)
            commit(tmp_path / "lost")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wakeups.run)
                await bells["lost"].next()
                nursery.cancel_scope.cancel()


def flood(directory: Path, events: int) -> None:
    """Cause events that the kernel does not merge, because their names differ."""
    for n in range(events):
        file = directory / str(n % 2)
        file.touch()
        file.unlink()


async def test_where_no_watch_is_to_be_had_a_directory_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.01)
    bell = Bell()
    async with running() as wakeups:

        def none_left(_path: object, _mask: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(wakeups._inotify, "add_watch", none_left)  # type: ignore[attr-defined]  # inotify's
        with wakeups.watch(tmp_path, bell):
            await bell.next()


async def test_where_no_inotify_is_to_be_had_everything_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    del autojump_clock

    def none_left(*_arguments: object, **_options: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("inotify_simple.INotify", none_left)
    bell = Bell()
    async with running() as wakeups:
        with wakeups.watch(tmp_path, bell):
            await bell.next()


async def test_elsewhere_every_directory_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    del autojump_clock
    monkeypatch.setattr(sys, "platform", "darwin")
    bell = Bell()
    async with running() as wakeups:
        with wakeups.watch(tmp_path, bell):
            await trio.sleep(POLL_S * 3.5)
            assert bell.rung == 3
        await trio.sleep(POLL_S * 3)
        assert bell.rung == 3
