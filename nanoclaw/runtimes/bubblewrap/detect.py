"""A trial of sandboxes on this machine, and the reason if it fails."""

import os
import platform
import re
import shutil
import subprocess
from compileall import compile_dir
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

from attrs import evolve, frozen

from nanoclaw.runtimes.bubblewrap import layout
from nanoclaw.runtimes.bubblewrap.groups import Maker, find_maker
from nanoclaw.runtimes.bubblewrap.limits import Means
from nanoclaw.runtimes.bubblewrap.options import Program, Wanted, as_another_user, sandbox
from nanoclaw.runtimes.bubblewrap.seccomp import ARCHITECTURES, filter_for
from nanoclaw.system.resources import runner_dir
from nanoclaw.system.sandbox_user import sandbox_owner

TRIAL_S = 20.0
"""The time limit of a trial run, on a busy machine."""
INSTALL = "install it (`apt install bubblewrap`, `dnf install bubblewrap`)"
MIB = 1 << 20


@frozen
class Ready:
    """A working bubblewrap."""

    program: Program
    setpriv: str | None = None
    """The program that changes the user, on a root host."""
    maker: Maker | None = None
    """How control groups are made."""

    @property
    def means(self) -> Means:
        """The way in which this machine bounds a whole sandbox."""
        return self.maker.means if self.maker else Means()


def examine(name: str, user: int | None) -> Ready | str:
    """Try to make a sandbox. Return the program, or the reason why it is not possible, with advice. Blocking.

    `user` is the user of sandboxes, if it is not this process's own.
    """
    if filter_for(platform.machine()) is None:
        known = ", ".join(ARCHITECTURES)
        return (
            f"there is no filter of system calls for {platform.machine()}, only for {known}; use a container"
        )
    path = shutil.which(name)
    if path is None:
        return f"bubblewrap is not installed: there is no program {name!r}; {INSTALL}"
    setpriv = shutil.which("setpriv") if user is not None else None
    if user is not None and setpriv is None:
        return "setpriv is not installed, and a host that runs as root needs it: install util-linux"
    try:
        ready = Ready(Program(path, _options(path)), setpriv)
        words = _trial(ready, user)
    except subprocess.TimeoutExpired:
        return f"{path} has not made a sandbox within {TRIAL_S:g} s: the machine is too busy, or a disk hangs"
    except OSError as error:
        return f"{path} cannot be started: {error.strerror or error}; {INSTALL}"
    return evolve(ready, maker=find_maker()) if words is None else explained(words)


def why_not(name: str = "bwrap") -> str | None:
    """Return why this host can make no sandbox, with advice. None: it can. Blocking, for about 30 ms."""
    owner = sandbox_owner()
    found = examine(name, None if owner is None else owner[0])
    return found if isinstance(found, str) else None


def compile_runner() -> None:
    """Compile the modules of the runner, which a sandbox cannot. Otherwise each start would. Blocking."""
    compile_dir(str(runner_dir() / "agent_runner"), quiet=2)


def _options(path: str) -> frozenset[str]:
    answer = subprocess.run([path, "--help"], stdout=PIPE, stderr=STDOUT, check=False, timeout=TRIAL_S)
    return frozenset(re.findall(r"--[a-z][a-z0-9-]+", answer.stdout.decode("utf-8", "replace")))


def _trial(ready: Ready, user: int | None) -> str | None:
    """Start the interpreter in a sandbox without a session. Return what bubblewrap says if it fails."""
    wanted = Wanted((*layout.etc(), *layout.python(), *layout.runner()), MIB)
    command = [*line(ready, wanted, user), layout.interpreter(), "-I", "-S", "-c", ""]
    ran = subprocess.run(
        command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, check=False, timeout=TRIAL_S, env={"LANG": "C"}
    )
    if ran.returncode == 0:
        return None
    said = ran.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[-1].removeprefix("bwrap: ") if said else f"it ended with status {ran.returncode}"


def line(ready: Ready, wanted: Wanted, user: int | None) -> list[str]:
    """Return the command line of a sandbox, up to its command."""
    if user is None or ready.setpriv is None:
        return [*sandbox(ready.program, wanted)]
    return [*as_another_user(ready.program, ready.setpriv, wanted, user)]


# -- reasons ---------------------------------------------------------------------


def explained(words: str) -> str:
    """Return why no sandbox can be made, and what to do. `words` are bubblewrap's own."""
    why = _cause(words)
    return (
        f"bubblewrap cannot make a sandbox here: {words}. {why}"
        if why
        else (f"bubblewrap cannot make a sandbox here: {words}")
    )


def _cause(words: str) -> str | None:
    """Return the setting of the machine that forbids it, with advice."""
    if "execvp" in words or "No such file" in words or "source path" in words:
        return _missing(words)
    for name, forbids, advice in _SETTINGS:
        if _sysctl(name) == forbids:
            return advice
    if _in_container():
        return (
            "This machine is a container, whose engine forbids namespaces; allow them "
            "(docker: `--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined`), or run NanoClaw outside of it"
        )
    return None


def _missing(words: str) -> str | None:
    if "execvp" not in words:
        return None
    here = layout.interpreter()
    return f"The interpreter {here} cannot be used there; install NanoClaw in a virtual environment"


_KEEP = "and a line in /etc/sysctl.d/ keeps that"
_SWITCHED_OFF = (
    f"User namespaces are switched off; `sudo sysctl user.max_user_namespaces=15000` allows them, {_KEEP}"
)
_ROOT_ONLY = (
    "User namespaces are only for root; `sudo sysctl kernel.unprivileged_userns_clone=1` allows them, "
    f"{_KEEP}"
)
_NO_PROFILE = (
    "AppArmor allows user namespaces only to programs with a profile (Ubuntu since 23.10). Give bubblewrap "
    "one in /etc/apparmor.d/bwrap: `abi <abi/4.0>, profile bwrap /usr/bin/bwrap flags=(unconfined) "
    "{ userns, }`; then `sudo systemctl reload apparmor`"
)
_SETTINGS = (
    ("user.max_user_namespaces", "0", _SWITCHED_OFF),
    ("kernel.unprivileged_userns_clone", "0", _ROOT_ONLY),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", _NO_PROFILE),
)
"""Settings of the kernel: the name, the value that forbids sandboxes, and advice."""


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", *name.split(".")).read_text("ascii").strip()
    except (OSError, ValueError):
        return None


def _in_container() -> bool:
    return os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv")  # noqa: PTH110 -- texts
