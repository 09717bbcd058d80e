"""Installs approved packages into a folder, on the host, without running any code of theirs.

pip takes wheels alone, and `wheels_only.py` keeps it from starting programs. npm runs no scripts. Both have
the host's own configuration, and its variables for proxies and indexes. A folder gets its name when it is
complete: a death on the way leaves a folder that nobody uses.
"""

import os
import platform
import re
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import trio
from attrs import frozen

from nanoclaw.config.kinds import printable
from nanoclaw.runtimes.backlog import Report, WorkFailed
from nanoclaw.runtimes.protocol import Packages
from nanoclaw.system.disk_use import Count, free_bytes
from nanoclaw.system.foreign import ungrouped
from nanoclaw.system.trees import remove_tree

NEW = ".new-"
"""The beginning of the names of folders that are not complete."""
GIB = 1 << 30
LOOK_S = 1.0
"""Interval at which the disk is looked at."""
LAST_LINES, LONGEST_LINE, MOST_TEXT = 8, 300, 1_200
WHEELS_ONLY = Path(__file__).with_name("wheels_only.py")
NO_WHEEL = "No matching distribution found"
_TOLD = re.compile(r"(?:ERROR|error|npm error(?: code)?):? *(.+)")


@frozen
class Bounds:
    """Upper bounds of one installation."""

    seconds: float = 900.0
    disk_bytes: int = 4 * GIB
    reserve_bytes: int = 0
    """Bytes that stay free on the disk."""


def version_of(packages: Packages) -> str:
    """Return the name of the folder of some packages. It is another one for another Python or machine."""
    made_of = [
        *("1", platform.machine(), *map(str, sys.version_info[:2])),
        *("pip", *sorted(packages.pip), "npm", *sorted(packages.npm)),
    ]
    return sha256("\0".join(made_of).encode()).hexdigest()[:12]


async def install(packages: Packages, folder: Path, bounds: Bounds, report: Report) -> None:
    """Install packages into a new folder below `folder`, named by `version_of`.

    Raises:
        WorkFailed: an installer failed, is missing, or exceeded its bounds.
        OSError: the folder cannot be written.
    """
    async with _new_folder(folder) as new:
        for purpose, command in commands(packages, new):
            report(purpose)
            await _run(command, new, bounds)
        await trio.to_thread.run_sync(_finish, new, folder / version_of(packages))


@asynccontextmanager
async def _new_folder(folder: Path) -> AsyncIterator[Path]:
    """Yield a new folder, which is removed unless it was renamed."""

    def made() -> Path:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=NEW, dir=folder))
        (new / "tmp").mkdir()
        return new

    new = await trio.to_thread.run_sync(made)
    try:
        yield new
    finally:
        # It has its name now, or the next host tries it again.
        with trio.CancelScope(shield=True), suppress(OSError):
            await trio.to_thread.run_sync(remove_tree, new)


def _finish(new: Path, complete: Path) -> None:
    """Let the user of sandboxes read it, bring it to the disk, and give it its name. Blocking."""
    remove_tree(new / "tmp")
    new.chmod(0o755)
    os.sync()
    new.rename(complete)


def commands(packages: Packages, new: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each installer in words, and its command. No shell reads it.

    Raises:
        WorkFailed: an installer is missing.
    """
    if packages.pip:
        if find_spec("pip") is None:
            raise WorkFailed(f"this Python has no pip; install it with `{sys.executable} -m ensurepip`")
        pip = [sys.executable, "-P", str(WHEELS_ONLY), "install", "--target", str(new / "python")]
        how = ["--only-binary", ":all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check"]
        yield "pip installs", [*pip, *how, "--progress-bar", "off", "--", *packages.pip]
    if packages.npm:
        npm = shutil.which("npm")
        if npm is None:
            raise WorkFailed("the program npm is not installed; install it, as with `apt-get install npm`")
        # A package from a repository of git would be prepared by its own programs.
        how = [
            "--ignore-scripts",
            "--git",
            "/nonexistent/git",
            "--no-fund",
            "--no-audit",
            "--no-update-notifier",
            "--no-package-lock",
        ]
        where = ["--prefix", str(new), "--cache", str(new / "tmp" / "npm")]
        yield "npm installs", [npm, "install", *how, *where, "--", *packages.npm]


def environment(environ: Mapping[str, str], new: Path) -> Mapping[str, str]:
    """Return the variables of an installer: those of the host, except what would change where it installs."""
    without = {
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_NO_BINARY",
        "PIP_REQUIRE_VIRTUALENV",
        "PYTHONPATH",
    }
    own = {"TMPDIR": str(new / "tmp"), "PIP_USER": "0", "NODE_ENV": "production"}
    return {**{name: value for name, value in environ.items() if name not in without}, **own}


# -- one installer ---------------------------------------------------------------


async def _run(command: Sequence[str], new: Path, bounds: Bounds) -> None:
    """Run an installer to its end. Raises WorkFailed."""
    process = await trio.lowlevel.open_process(
        command,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        cwd=new,
        env=environment(os.environ, new),
        start_new_session=True,
        umask=0o022,
    )
    lines = deque[str](maxlen=LAST_LINES)
    try:
        with ungrouped(WorkFailed), trio.fail_after(bounds.seconds):
            await _followed(process, new, bounds, lines)
    except trio.TooSlowError as error:
        raise WorkFailed(f"it took longer than {bounds.seconds:g} s") from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()
    if process.returncode != 0:
        raise WorkFailed(_reason(lines) or f"the installer ended with status {process.returncode}")


async def _followed(process: trio.Process, new: Path, bounds: Bounds, lines: deque[str]) -> None:
    """Read what an installer says, until it ends or exceeds its bounds."""
    assert process.stdout is not None  # noqa: S101 -- it is a pipe
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, new, bounds)
        rest = b""
        async for piece in process.stdout:
            *complete, rest = (rest + piece).split(b"\n")
            lines.extend(filter(None, map(_clean, complete)))
            rest = rest[-LONGEST_LINE:]
        await process.wait()
        nursery.cancel_scope.cancel()
    await _look(new, bounds)


async def _watch(new: Path, bounds: Bounds) -> None:
    """Raise WorkFailed once a folder, or the disk, is too full."""
    while True:
        await _look(new, bounds)
        await trio.sleep(LOOK_S)


async def _look(new: Path, bounds: Bounds) -> None:
    """Raise WorkFailed if a folder, or the disk, is too full."""
    count = Count([new], bounds.disk_bytes)
    while not await trio.to_thread.run_sync(count.go_on):
        pass
    if count.full:
        raise WorkFailed(count.too_many or f"it takes more than {bounds.disk_bytes / GIB:g} GiB")
    if await trio.to_thread.run_sync(free_bytes, new) < bounds.reserve_bytes:
        raise WorkFailed("the disk has only the reserve of [sandbox] disk_reserve left; free some space")


def _clean(line: bytes) -> str:
    return printable(" ".join(line.decode("utf-8", "replace").split()))[:LONGEST_LINE]


def _reason(lines: Sequence[str]) -> str:
    """Return the errors among the last lines of an installer, or else those lines."""
    errors = [found[1] for line in lines if (found := _TOLD.match(line))]
    text = " | ".join(errors or lines)[:MOST_TEXT]
    more = "; under bubblewrap a package of Python must have a wheel for this machine"
    return text + (more if NO_WHEEL in text else "")
