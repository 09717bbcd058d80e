"""The isolation of a world from real time, threads and the like, and the active world of each thread."""

import datetime as dt
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from types import FrameType
from typing import Any

from attrs import Factory, define

from nanoclaw.testing.world.isolation.callers import (
    LOGGERS,
    MACHINERY,
    NOBODY,
    OURS,
    beneath,
    caller,
    package,
    place,
    task_place,
)
from nanoclaw.testing.world.isolation.patches import Patches
from nanoclaw.testing.world.isolation.targets import EFFECTS, TARGETS, Kind, Target
from nanoclaw.testing.world.per_thread import PerThread

SHOWN_STRAYS = 3


class NotSimulated(Exception):
    """A use of something real in a simulated world. The text names the caller and the replacement."""


@define(eq=False)
class Isolation:
    """The guards of one world. Packages in `allowed` (top-level names) are not guarded."""

    now: Callable[[], dt.datetime]
    allowed: frozenset[str] = frozenset()
    refused: list[NotSimulated] = Factory(list)
    """All refused uses, even if the caller swallowed the error."""

    @contextmanager
    def up(self) -> Iterator[None]:
        """Refuse real clocks, threads and the like while the block runs."""
        with suppress(FileNotFoundError):
            tempfile.gettempdir()  # where no world has asked yet, it tries names
        with _PATCHES.applied(), _STANDING.holding(self):
            yield

    def check(self) -> None:
        """Raise the first refusal, if any: a provider's errors never reach a test."""
        if self.refused:
            raise self.refused[0]

    def mention(self, error: BaseException) -> None:
        """Add to an error a note of what was refused before it, as a possible cause."""
        told = dict.fromkeys(str(stray) for stray in self.refused if stray is not error)
        for text in list(told)[:SHOWN_STRAYS]:
            error.add_note(f"refused before: {text}")

    def judge(self, what: str, kind: Kind, frame: FrameType | None) -> str:
        """Return the package that asks for the resource, if it may use it.

        Raises:
            NotSimulated: it may not.
        """
        passed_by = NOBODY | {"trio"} if kind in EFFECTS else NOBODY
        found = caller(frame, passed_by)
        asking = found or beneath(passed_by)
        if self._may(package(asking), kind, is_itself=found is not None):
            return package(asking)
        stray = NotSimulated(f"{_named(found, asking)}: {what}() in a simulated world: {kind.value}")
        self.refused.append(stray)
        raise stray

    def _may(self, name: str, kind: Kind, *, is_itself: bool) -> bool:
        """Return whether a package may use the target, itself or through a nursery that it opened."""
        if name in self.allowed:
            return True
        return is_itself and (name in LOGGERS | MACHINERY or (name in OURS and kind not in EFFECTS))


def _named(found: FrameType | None, nursery: FrameType | None) -> str:
    if found is not None:
        return place(found)
    begun = (
        f", begun beneath {place(nursery)}" if nursery is not None and package(nursery) not in OURS else ""
    )
    return f"{task_place()}{begun}"


_STANDING = PerThread[Isolation]()


def _guarded(target: Target, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def guard(*arguments: Any, **options: Any) -> Any:
        guards, frame = _STANDING.here(), sys._getframe(1)  # noqa: SLF001 -- who called, and nothing else says it
        if guards is not None and not target.is_harmless(arguments, options):
            asking = guards.judge(target.what, target.kind, frame)
            if asking in LOGGERS and target.what in _DATES:
                return _DATES[target.what](guards.now())
        return original(*arguments, **options)

    return guard


_DATES: dict[str, Callable[[dt.datetime], Any]] = {
    "time.time": lambda now: now.timestamp(),
    "time.time_ns": lambda now: int(now.timestamp() * 1e9),
    "time.localtime": lambda now: time.localtime(now.timestamp()),
    "time.gmtime": lambda now: time.gmtime(now.timestamp()),
}
"""The values that loggers get."""


def _date(owner: type[dt.date], name: str) -> "classmethod[Any, Any, Any]":
    original = owner.__dict__[name]

    def guard(cls: Any, *arguments: Any, **options: Any) -> Any:
        guards = _STANDING.here()
        if guards is not None:
            asking = guards.judge(f"{owner.__name__}.{name}", Kind.CLOCK, sys._getframe(1))  # noqa: SLF001 -- who
            if asking in LOGGERS:
                return _virtual(cls, guards.now(), *arguments, **options)
        return original.__get__(None, cls)(*arguments, **options)

    return classmethod(guard)


def _virtual(cls: type[dt.date], now: dt.datetime, tz: dt.tzinfo | None = None) -> dt.date:
    """Return what `now`, `utcnow` or `today` would return at the virtual date."""
    if not issubclass(cls, dt.datetime):
        return cls(now.year, now.month, now.day)
    return now.astimezone(tz) if tz else now.replace(tzinfo=None)


_PATCHES = Patches(
    TARGETS,
    _guarded,
    {
        (dt.datetime, "now"): _date(dt.datetime, "now"),
        (dt.datetime, "utcnow"): _date(dt.datetime, "utcnow"),
        (dt.date, "today"): _date(dt.date, "today"),
    },
)
