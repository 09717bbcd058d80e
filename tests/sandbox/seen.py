"""A sandbox, as the host sees it from outside."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nanoclaw.runtimes.bubblewrap.sandboxed import SandboxProcess
from nanoclaw.runtimes.child import ProcessRunner


def runner_of(runner: "ProcessRunner[SandboxProcess]") -> int:
    """Return the process id of the runner inside: the child of the first process inside."""
    first = runner.process.first
    assert first is not None
    [child, *_] = children(first)
    return child


def children(parent: int) -> list[int]:
    return [pid for pid, its in parents() if its == parent]


def parents() -> Iterator[tuple[int, int]]:
    """Yield each process of the machine with its parent."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                yield int(folder.name), int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
