"""A sandbox, as the host sees it from outside."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nanoclaw.runtimes.bubblewrap.sandboxed import SandboxProcess
from nanoclaw.runtimes.child import ProcessRunner


def runner_of(runner: "ProcessRunner[SandboxProcess]") -> int:
    """Return the process id of the runner inside: the child of the innermost first process."""
    first = runner.process.first
    assert first is not None
    innermost = [pid for pid in below(first) if _numbers(pid)[-1] == 1][-1]
    return min(pid for pid, parent in _parents() if parent == innermost)


def _numbers(pid: int) -> list[int]:
    """Return the ids of a process, one for each namespace that it is in."""
    lines = Path("/proc", str(pid), "status").read_text("utf-8").splitlines()
    return next([int(each) for each in line.split()[1:]] for line in lines if line.startswith("NSpid:"))


def below(ancestor: int) -> list[int]:
    """Return a process and those that descend from it."""
    parents = dict(_parents())
    found = [ancestor]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def runs(pid: int) -> bool:
    """Return whether a process runs. One that is dead, and that nobody has waited for, does not."""
    try:
        state = Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in {b"Z", b"X"}


def _parents() -> Iterator[tuple[int, int]]:
    """Yield each process of the machine with its parent."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                yield int(folder.name), int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
