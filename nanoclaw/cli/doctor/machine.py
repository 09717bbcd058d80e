"""The doctor's look at the machine: inotify, descriptors, the clock, versions and the runtime."""

import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import apsw

from nanoclaw import version
from nanoclaw.cli.doctor.findings import Finding
from nanoclaw.config import Config, ConfigError
from nanoclaw.runtimes import configured_runtime
from nanoclaw.store.engine.anew import SESSIONS
from nanoclaw.system.clock import SystemClock

INOTIFY = Path("/proc/sys/fs/inotify")
FEW_INSTANCES, FEW_WATCHES = 64, 8192
FEW_DESCRIPTORS = 1024
SLACK = timedelta(minutes=5)
"""A file may be that much newer than the clock, for another machine may have written it."""


def machine(config: Config) -> Iterator[Finding]:
    """Look at what the machine gives to the host."""
    yield from inotify(config.data)
    yield descriptors()
    yield from clock(config)
    yield runtime(config)
    sqlite = apsw.sqlite_lib_version()
    python = f"Python {platform.python_version()} ({sys.executable}), SQLite {sqlite}"
    yield Finding("versions", "ok", f"NanoClaw {version.installed_version()}, {python}")


def inotify(data: Path, limits: Path = INOTIFY) -> Iterator[Finding]:
    """Look at the kernel's limits of file events. One instance and a watch for each session are needed."""
    if sys.platform != "linux":
        yield Finding("inotify", "ok", "this system has none, so files are polled")
        return
    instances, watches = _number(limits / "max_user_instances"), _number(limits / "max_user_watches")
    sessions = sum(1 for _ in (data / SESSIONS).glob("*/*")) if (data / SESSIONS).is_dir() else 0
    found = f"{instances} instances and {watches} watches for a user"
    if not _instance_left():
        advice = "end programs that watch files, or `sysctl fs.inotify.max_user_instances=512`"
        yield Finding("inotify", "problem", f"no instance is left ({found}); each look costs time", advice)
    elif instances is not None and instances < FEW_INSTANCES:
        advice = "`sysctl fs.inotify.max_user_instances=512`"
        yield Finding("inotify", "warning", f"there may be only {found}", advice)
    elif watches is not None and watches < max(FEW_WATCHES, 2 * sessions):
        advice = "`sysctl fs.inotify.max_user_watches=65536`"
        yield Finding("inotify", "warning", f"there may be only {found}, and {sessions} sessions", advice)
    else:
        yield Finding("inotify", "ok", found)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _instance_left() -> bool:
    """Return True if one more instance can be made. It is closed at once."""
    import inotify_simple  # type: ignore[import-untyped]  # noqa: PLC0415 -- untyped, and Linux only

    try:
        inotify_simple.INotify().close()
    except OSError:
        return False
    return True


def descriptors(hard: int | None = None) -> Finding:
    """Look at the limit of open files, which the host raises to the hard one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    if hard != resource.RLIM_INFINITY and hard < FEW_DESCRIPTORS:
        advice = "raise the hard limit (`ulimit -Hn`, or LimitNOFILE= of the service)"
        return Finding("descriptors", "warning", f"at most {hard} files may be open", advice)
    most = "any number of" if hard == resource.RLIM_INFINITY else f"{hard}"
    return Finding("descriptors", "ok", f"{most} files may be open")


# -- the clock -------------------------------------------------------------------


def clock(config: Config, now: datetime | None = None) -> Iterator[Finding]:
    """Look at the date and the time zone."""
    now = SystemClock().now() if now is None else now
    newest = max(filter(None, map(_changed, (Path(version.__file__), config.data / "v2.db"))), default=None)
    if newest is not None and now + SLACK < newest:
        text = f"the date is {now:%Y-%m-%d %H:%M} UTC, before the last change of {config.data} or of NanoClaw"
        yield Finding("clock", "problem", text, "set the date of this machine")
    elif config.zone_doubt is not None:
        yield Finding("clock", "warning", config.zone_doubt, "`nanoclaw setup` asks for the zone")
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC; the time zone is {config.timezone}")


def _changed(file: Path) -> datetime | None:
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    with suppress(OSError, OverflowError):
        return epoch + timedelta(seconds=file.stat().st_mtime)
    return None


# -- the runtime -----------------------------------------------------------------


def runtime(config: Config) -> Finding:
    """Look at the runtime. Its own problems are those of the configuration."""
    name = config.sandbox.runtime
    try:
        configured_runtime(config)
    except ConfigError as error:
        return Finding("runtime", "problem", f"{name} cannot be used", str(error).replace("\n", "; "))
    if name == "process":
        return Finding("runtime", "ok", "process: it isolates nothing, so agents have chat tools only")
    return Finding("runtime", "ok", name)
