"""The store's executor for simulations: no threads, so that virtual time cannot run ahead of the work."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import trio

from agent_runner.replacing import replace_file
from nanoclaw.testing.world.determinism import EVERY, give_way
from nanoclaw.testing.world.standstill import Standstill

T = TypeVar("T")

When = Literal["before", "after"]


class CommitHook(Protocol):
    """Called at the commit points. Its error ends the transaction's caller there, as a kill would.

    The error also ends the world, unless it is an error of the disk (`apsw.Error`, `OSError`, `StoreError`)
    or of a runner (`RunnerError`).
    """

    def __call__(self, path: Path, when: When, n: int) -> None:
        """`n` counts this executor's commits from 1."""
        ...


STANDSTILL = 100_000
"""The number of calls at one moment of virtual time after which it counts as standing still."""


class InlineExecutor:
    """Runs the work in the calling task, after a checkpoint. It counts commits and notifies subscribers.

    `on_commit` may be set at any time, to inject faults.
    """

    def __init__(self, on_commit: CommitHook | None = None) -> None:
        self.on_commit = on_commit
        self.pause: Callable[[], float] | None = None
        """Returns the duration of a call in seconds, while the disk is slow."""
        self.around: Callable[[], AbstractContextManager[None]] | None = None
        """Returns the context of each call, while the disk fails."""
        self.commits = 0
        self.standstill: Standstill | None = None
        """Set once a standstill is detected, because most callers swallow the error."""
        self._begun = 0
        self._moment, self._calls = 0.0, 0
        self._subscribers: dict[str, dict[object, Callable[[], None]]] = {}
        """Subscribers by directory, as text, because comparing paths is slow."""

    async def run(self, call: Callable[[], T], *, lane: str = "write") -> T:
        """Run `call` here; its lane, of the host or of the runner, makes no difference.

        Raises:
            Standstill: virtual time no longer passes.
        """
        del lane
        if self.pause is None:
            await give_way()
        else:
            await trio.sleep(self.pause())
        self._calls += 1
        if self._calls % EVERY == 0:
            self._look(trio.current_time())
        if self.around is None:
            return call()
        with self.around():
            return call()

    def _look(self, now: float) -> None:
        if now != self._moment:
            self._moment, self._calls = now, 0
        if self._calls > STANDSTILL:
            self.standstill = Standstill(f"{STANDSTILL:,} calls of the store, and it is still {now!r} s")
            self._calls = 0
            raise self.standstill

    def stand_still(self, standstill: Standstill) -> None:
        """Record a standstill that another detector found."""
        self.standstill = self.standstill or standstill

    def check(self) -> None:
        """Raise `Standstill` if one was detected."""
        if self.standstill is not None:
            raise self.standstill

    def before_commit(self, path: Path) -> None:
        """Call the hooks before a commit."""
        self._begun += 1
        if self.on_commit is not None:
            self.on_commit(path, "before", self._begun)

    def after_commit(self, path: Path) -> None:
        """Notify the subscribers of the file's directory, then call the hook, which may kill."""
        self.commits += 1
        directory, _, _ = str(path).rpartition(os.sep)
        self._notify(directory)
        if self.on_commit is not None:
            self.on_commit(path, "after", self._begun)

    def replace(self, path: Path, content: bytes) -> None:
        """Replace a file as a runner does, and notify the subscribers of this very file."""
        replace_file(path, content)
        self._notify(str(path))

    def _notify(self, place: str) -> None:
        for callback in tuple(self._subscribers.get(place, {}).values()):
            callback()

    def subscribe(self, directory: Path, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after commits on files directly in `directory`; return a function that ends this.

        The path of a file stands for its replacements.

        It replaces inotify, which does not work in virtual time.
        """
        token, here = object(), self._subscribers.setdefault(str(directory), {})
        here[token] = callback

        def unsubscribe() -> None:
            here.pop(token, None)

        return unsubscribe
