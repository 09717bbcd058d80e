"""Control groups for sandboxes: scopes of systemd, or groups that this host makes itself."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from subprocess import DEVNULL
from typing import Protocol

from attrs import field, frozen

from nanoclaw.runtimes.bubblewrap.limits import CPUS, MEMORY, PROCESSES, Means
from nanoclaw.runtimes.protocol import Limits, NothingLeft

CONTROLLERS: Mapping[str, str] = {MEMORY: "memory", PROCESSES: "pids", CPUS: "cpu"}
PERIOD_US = 100_000
TRIAL_S = 10.0
END_S = 1.0
"""The longest wait for a group to become empty."""
PAUSE_S = 0.005
ENTER = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"'
"""Enters groups, and becomes the rest of the line."""
MEMBERS = {1: "tasks", 2: "cgroup.procs"}
"""The file of a group by which the shell enters it, by the version of the hierarchy.

A thread that moves itself by `tasks` does not wait for an RCU grace period, which takes 15 ms. The shell has
only one thread.
"""


class Group(Protocol):
    """The control group of one sandbox."""

    @property
    def before(self) -> Sequence[str]:
        """A command that runs the rest of its line in the group."""
        ...

    def ran_out(self) -> bool:
        """Return True if the kernel killed a program because the group's memory was used up. Blocking."""
        ...

    def remove(self) -> None:
        """Remove the group. Blocking. One that is left is removed at the next start."""
        ...


class Maker(Protocol):
    """Makes groups."""

    @property
    def means(self) -> Means:
        """The resources that its groups bound."""
        ...

    @property
    def variables(self) -> Mapping[str, str]:
        """Variables that the command `before` needs. The sandbox must not see them."""
        ...

    def make(self, name: str, limits: Limits) -> Group:
        """Make the group of a session. Processes that are left in it are killed. Blocking.

        Raises:
            NothingLeft: it cannot be made.
        """
        ...


def find_maker() -> Maker | None:
    """Return how this host can make control groups. None: it cannot. Blocking."""
    return _systemd() or _own_v2() or _own_v1()


def name_of(outbound: Path) -> str:
    """Return the name of a session's group, which no other install on this machine uses."""
    return f"nanoclaw-{sha256(os.fsencode(outbound)).hexdigest()[:16]}"


# -- systemd ---------------------------------------------------------------------

_COVERED = (
    'cd "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)" && '
    'for file in memory.max pids.max cpu.max; do test -e "$file" && echo "$file"; done >&"$1"'
)
"""Writes the bounds that the group of a scope has to a descriptor, which proves that it is inherited."""


@frozen
class Scopes:
    """Scopes of the user's systemd, or of the system's under a root host."""

    program: str
    means: Means
    variables: Mapping[str, str]

    def make(self, name: str, limits: Limits) -> "Scope":
        """Return a scope, which systemd makes when its command starts."""
        del name
        return Scope((*_scope(self.program), *_properties(limits), "--"))


@frozen
class Scope:
    """A scope of systemd. It vanishes with its last process."""

    before: Sequence[str]

    def ran_out(self) -> bool:
        """Return False: systemd has forgotten it."""
        return False

    def remove(self) -> None:
        """Do nothing."""


def _scope(program: str) -> Sequence[str]:
    manager = () if os.geteuid() == 0 else ("--user",)
    return (program, *manager, "--scope", "--quiet", "--collect")


def _properties(limits: Limits) -> Iterator[str]:
    if limits.memory_bytes is not None:
        yield from ("-p", f"MemoryMax={limits.memory_bytes}", "-p", "MemorySwapMax=0")
    if limits.processes is not None:
        yield from ("-p", f"TasksMax={limits.processes}")
    if limits.cpus is not None:
        yield from ("-p", f"CPUQuota={max(1, round(limits.cpus * 100))}%")


def _systemd() -> Scopes | None:
    """Return scopes, if a manager makes them and they inherit descriptors."""
    program, variables = shutil.which("systemd-run"), _manager()
    if program is None or variables is None:
        return None
    reading, writing = os.pipe()
    try:
        command = [*_scope(program), "--", "/bin/sh", "-c", _COVERED, "sh", str(writing)]
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                command,
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=DEVNULL,
                pass_fds=(writing,),
                env={"PATH": os.defpath, **variables},
                timeout=TRIAL_S,
                check=False,
            )
    finally:
        os.close(writing)
    with open(reading, encoding="ascii") as file:  # noqa: PTH123 -- a descriptor
        files = file.read().split()
    covers = frozenset(name for name, controller in CONTROLLERS.items() if f"{controller}.max" in files)
    return Scopes(program, Means("a scope of systemd", covers), variables) if covers else None


def _manager() -> Mapping[str, str] | None:
    """Return the variables with which this user's manager is found; None if there is none."""
    if os.geteuid() == 0:
        return {} if os.path.isdir("/run/systemd/system") else None  # noqa: PTH112 -- a text
    folder = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    if not os.path.exists(f"{folder}/systemd/private"):  # noqa: PTH110 -- a text
        return None
    return {"XDG_RUNTIME_DIR": folder}


# -- our own groups --------------------------------------------------------------


@frozen
class OwnGroups:
    """Groups below folders that this host may write."""

    means: Means
    parents: Mapping[str, Path]
    """The folder of each resource. With version 2 it is the same for all."""
    version: int
    variables: Mapping[str, str] = field(factory=dict)

    def make(self, name: str, limits: Limits) -> "OwnGroup":
        """Make a group, or one for each resource, and set its bounds."""
        group = OwnGroup({resource: parent / name for resource, parent in self.parents.items()}, self.version)
        group.remove()
        try:
            for folder in group.distinct:
                folder.mkdir(exist_ok=True)
            for file, value in self._bounds(group, limits):
                file.write_text(value, "ascii")
        except OSError as error:
            group.remove()
            raise NothingLeft(f"the control group {name} cannot be made: {error}") from error
        return group

    def _bounds(self, group: "OwnGroup", limits: Limits) -> Iterator[tuple[Path, str]]:
        """Yield the files of a group, and their values."""
        memory, processes, cpus = (group.folders.get(each) for each in (MEMORY, PROCESSES, CPUS))
        if memory and limits.memory_bytes is not None:
            yield from self._memory(memory, limits.memory_bytes)
        if processes and limits.processes is not None:
            yield processes / "pids.max", str(limits.processes)
        if cpus and limits.cpus is not None:
            quota = max(1000, round(limits.cpus * PERIOD_US))
            if self.version == 1:
                yield cpus / "cpu.cfs_period_us", str(PERIOD_US)
                yield cpus / "cpu.cfs_quota_us", str(quota)
            else:
                yield cpus / "cpu.max", f"{quota} {PERIOD_US}"

    def _memory(self, folder: Path, size: int) -> Iterator[tuple[Path, str]]:
        if self.version == 1:
            yield folder / "memory.limit_in_bytes", str(size)
            swap, most = folder / "memory.memsw.limit_in_bytes", str(size)
        else:
            yield folder / "memory.max", str(size)
            swap, most = folder / "memory.swap.max", "0"
        if swap.exists():
            yield swap, most


@frozen
class OwnGroup:
    """The groups of one sandbox."""

    folders: Mapping[str, Path]
    version: int

    @property
    def distinct(self) -> Sequence[Path]:
        """Each folder once."""
        return list(dict.fromkeys(self.folders.values()))

    @property
    def before(self) -> Sequence[str]:
        """A shell that enters the groups."""
        files = (f"{each}/{MEMBERS[self.version]}" for each in self.distinct)
        return ("/bin/sh", "-c", ENTER, "sh", *files, "--")

    def ran_out(self) -> bool:
        """Read it in the counters of the kernel."""
        memory = self.folders.get(MEMORY)
        if memory is None:
            return False
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError, ValueError):
                lines = (line.split() for line in (memory / name).read_text("ascii").splitlines())
                return any(key == "oom_kill" and int(value) > 0 for key, value in lines)
        return False

    def remove(self) -> None:
        """Kill what is left in it, and remove its folders."""
        deadline = time.monotonic() + END_S
        left = self.distinct
        while (left := [each for each in left if not _removed(each)]) and time.monotonic() < deadline:
            time.sleep(PAUSE_S)  # noqa: TID251 -- in a worker thread


def _removed(folder: Path) -> bool:
    """Kill the processes of a group, and try to remove it."""
    with suppress(OSError):
        for line in (folder / "cgroup.procs").read_text("ascii").split():
            with suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _own_v2() -> OwnGroups | None:
    """Return groups at the root of the hierarchy, for a root host without systemd."""
    root = next((place for kind, place, _ in _mounts() if kind == "cgroup2"), None)
    if root is None or os.geteuid() != 0:
        return None
    with suppress(OSError):
        there = (root / "cgroup.controllers").read_text("ascii").split()
        wanted = {name: controller for name, controller in CONTROLLERS.items() if controller in there}
        if wanted:
            switched_on = " ".join(f"+{controller}" for controller in wanted.values())
            (root / "cgroup.subtree_control").write_text(switched_on, "ascii")
            return OwnGroups(Means("a control group", frozenset(wanted)), dict.fromkeys(wanted, root), 2)
    return None


def _own_v1() -> OwnGroups | None:
    """Return groups below those of this process."""
    own = _own_paths()
    parents = dict[str, Path]()
    for kind, place, options in _mounts():
        for name, controller in CONTROLLERS.items():
            if kind == "cgroup" and controller in options and controller in own:
                folder = place / own[controller].lstrip("/")
                if os.access(folder, os.W_OK):
                    parents[name] = folder
    return OwnGroups(Means("a control group", frozenset(parents)), parents, 1) if parents else None


def _own_paths() -> Mapping[str, str]:
    """Return the group of this process by controller (version 1)."""
    lines = (line.split(":", 2) for line in _read("/proc/self/cgroup").splitlines())
    return {controller: path for _, names, path in lines for controller in names.split(",")}


def _mounts() -> Iterator[tuple[str, Path, Sequence[str]]]:
    """Yield the type, the place and the options of each hierarchy of control groups."""
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, *_, options = after.split()
        if kind in {"cgroup", "cgroup2"} and "rw" in before.split()[5].split(","):
            yield kind, Path(before.split()[4]), options.split(",")


def _read(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except OSError:
        return ""
