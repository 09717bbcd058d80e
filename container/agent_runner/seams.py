"""The runner's seams: all inputs of its loop from outside (docs/architecture.md, Seams).

The loop has no other source of time, threads, wake-ups or randomness. A simulation that replaces these runs
it deterministically. `agent_runner.system` has the real ones.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from typing import Literal, Protocol, TypeVar

from attrs import field, frozen

from agent_runner.clock import Clock
from agent_runner.log import Log
from agent_runner.providers import HttpClients, Provider
from agent_runner.providers.http import NoHttp
from agent_runner.replacing import replace_file
from agent_runner.scripts.protocol import NoScripts, Scripts

__all__ = ["Clock", "Executor", "Lane", "Scripts", "Seams", "Wakeups"]

T = TypeVar("T")
Lane = Literal["write", "read", "commit"]
"""Kinds of calls. Writes of files may be long. Reads and commits are short."""

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 16


class Executor(Protocol):
    """Runs blocking calls, and marks the points of commit."""

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` to its end. A cancelled caller waits for it, so the outcome is always known."""
        ...

    def before_commit(self, path: Path) -> None:
        """Called inside `run`, right before COMMIT of the file at `path`. An exception rolls back."""
        ...

    def after_commit(self, path: Path) -> None:
        """Called inside `run`, right after COMMIT succeeded."""
        ...


class Wakeups(Protocol):
    """Hints that a database in a directory has changed. A lost hint costs a slow poll, no more."""

    def watch(self, directory: Path, changed: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Call `changed` when there may have been a commit in `directory`, while the context is open."""
        ...


@frozen
class Seams:
    """The seams of one runner."""

    clock: Clock
    executor: Executor
    wakeups: Wakeups
    random: Random
    provider: Provider
    log: Log = field(factory=Log)
    http: HttpClients = field(factory=NoHttp)
    replace: Callable[[Path, bytes], None] = replace_file
    """Replaces the draft file, which wakes the host."""
    scripts: Scripts = field(factory=NoScripts)

    def new_id(self, prefix: str) -> str:
        """Return a fresh id with this prefix, fit for a path (contract 1)."""
        return f"{prefix}-" + "".join(self.random.choices(CROCKFORD, k=ID_LENGTH))
