"""Everything the runner's loop takes from outside (docs/architecture.md, Seams).

The loop has no other source of time, threads, wake-ups or randomness, so a simulation that replaces these
runs it deterministically. `agent_runner.system` binds the real ones.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Literal, Protocol, TypeVar

from attrs import field, frozen

from agent_runner.log import Log
from agent_runner.providers import Provider

T = TypeVar("T")
Lane = Literal["write", "read", "commit"]
"""Files may be large; a read is short; a commit is short, and everyone waits for it."""

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 16


class Clock(Protocol):
    """Tells the date. Whoever wants to wait asks trio."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...


class Executor(Protocol):
    """Runs what blocks, and marks the points of commit."""

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` to its end; a cancelled caller waits for it, so the outcome is always known."""
        ...

    def before_commit(self, path: Path) -> None:
        """Called inside `run`, right before COMMIT of the file at `path`. What it raises rolls back."""
        ...

    def after_commit(self, path: Path) -> None:
        """Called inside `run`, right after COMMIT succeeded."""
        ...


class Wakeups(Protocol):
    """Hints that a directory's database has changed. A lost hint costs a slow poll, no more."""

    def watch(self, directory: Path, changed: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Call `changed` when there may have been a commit in `directory`, until the context ends."""
        ...


@frozen
class Seams:
    """What `run_runner` is given."""

    clock: Clock
    executor: Executor
    wakeups: Wakeups
    random: Random
    provider: Provider
    log: Log = field(factory=Log)

    def new_id(self, prefix: str) -> str:
        """A fresh identifier, fit for a path (contract 1)."""
        return f"{prefix}-" + "".join(self.random.choices(CROCKFORD, k=ID_LENGTH))
