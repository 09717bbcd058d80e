"""Guards: in a simulated world the real clock, threads, unseeded randomness, sockets and processes raise.

They are there for embedders' code: a channel, a provider or a brain that looks at the real clock is not
deterministic, and what runs in a thread is overtaken by virtual time. Loggers get the virtual date instead.

Caught are the functions of `time` and `random` (also where a module has imported them by name), `os.urandom`
and what stands on it, `datetime.now` and `utcnow`, `Thread.start`, trio's threads, `socket.socket`,
`subprocess.Popen`, in the thread of the world. Not caught: C extensions with clocks of their own, references
that are kept elsewhere than in a module, `Random()` without a seed.
"""

import ctypes
import datetime as dt
import gc
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import FrameType, ModuleType
from typing import Any

from attrs import Factory, define, field
from trio._core._thread_cache import ThreadCache

LOGGERS = frozenset({"logging", "structlog"})
"""They get the virtual date."""
MACHINERY = frozenset(
    {"trio", "outcome", "pytest", "_pytest", "pytest_trio", "pluggy", "hypothesis", "xdist", "coverage"}
)
"""What a test runs on: its own use of the real things has no effect on the world."""
CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")
RANDOM = (
    *("random", "uniform", "randint", "randrange", "choice", "choices", "shuffle", "sample", "gauss"),
    *("getrandbits", "randbytes", "expovariate", "betavariate", "normalvariate", "triangular"),
)

_CLOCK = "ask the clock of the world, or trio.current_time()"
_SLEEP = "everything that takes time asks trio"
_RANDOM = "draw from a random.Random that the world's seed decides, such as world.random"
_THREAD = "virtual time jumps past what a thread does"
_OUTSIDE = "a simulated world has nothing outside: use its fake channel, or memory streams"


class NotSimulated(Exception):
    """Something real was used in a simulated world; the text names who did, where, and what to use."""


@define(eq=False)
class Guards:
    """The guards of one world. `allowed` are packages (top-level names) that may do as they like."""

    now: Callable[[], dt.datetime]
    allowed: frozenset[str] = frozenset()
    strays: list[NotSimulated] = Factory(list)
    """All that was refused, also what somebody swallowed."""
    _thread: int = field(factory=threading.get_ident, init=False)
    _active: bool = field(default=False, init=False)

    @contextmanager
    def up(self) -> Iterator[None]:
        """While it is open they stand."""
        with ExitStack() as stack:
            imported = dict[int, Any]()
            for owner, name, advice in _TARGETS:
                original = getattr(owner, name)
                self._patch(stack, owner, name, advice)
                if owner in {time, random}:
                    imported[id(original)] = getattr(owner, name)
            _replace_where_imported(stack, imported)
            for name in ("now", "utcnow"):
                stack.enter_context(_replaced_in_type(dt.datetime, name, self._date(name)))
            self._active = True
            try:
                yield
            finally:
                self._active = False

    def check(self) -> None:
        """Raise the first thing that was refused, if anything was: a provider's errors never reach a test."""
        if self.strays:
            raise self.strays[0]

    # -- one function

    def _patch(self, stack: ExitStack, owner: Any, name: str, advice: str) -> None:
        original = getattr(owner, name)
        setattr(owner, name, self._guarded(original, f"{getattr(owner, '__name__', owner)}.{name}", advice))
        stack.callback(setattr, owner, name, original)

    def _guarded(self, original: Callable[..., Any], what: str, advice: str) -> Callable[..., Any]:
        @wraps(original)
        def guarded(*arguments: Any, **options: Any) -> Any:
            package = self._judge(what, advice)
            if package in LOGGERS and what == "time.time":
                return self.now().timestamp()
            if package in LOGGERS and what == "time.time_ns":
                return int(self.now().timestamp() * 1e9)
            return original(*arguments, **options)

        return guarded

    def _date(self, name: str) -> "classmethod[Any, Any, Any]":
        original = dt.datetime.__dict__[name]

        def guarded(cls: type[dt.datetime], tz: dt.tzinfo | None = None) -> dt.datetime:
            if self._judge(f"datetime.{name}", _CLOCK) in LOGGERS:
                return self.now().astimezone(tz) if tz else self.now().replace(tzinfo=None)
            found: dt.datetime = original.__get__(None, cls)(*(() if name == "utcnow" else (tz,)))
            return found

        return classmethod(guarded)

    def _judge(self, what: str, advice: str) -> str | None:
        """The package that asks, if it may; None where no world is concerned."""
        if not self._active or threading.get_ident() != self._thread:
            return None
        passed_by = {"trio"} if advice in {_THREAD, _OUTSIDE} else set[str]()
        frame, package = _caller(sys._getframe(2), passed_by)  # noqa: SLF001 -- who called, and nothing else says it
        if package in LOGGERS | MACHINERY | self.allowed or package.startswith("nanoclaw.testing"):
            return package
        where = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}: "
        stray = NotSimulated(f"{where}{what}() in a simulated world: {advice}")
        self.strays.append(stray)
        raise stray


def _caller(frame: FrameType | None, passed_by: set[str]) -> tuple[FrameType | None, str]:
    """The nearest caller that is neither of the standard library nor passed by, and its package."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        top = module.partition(".")[0]
        if (
            top in LOGGERS
            or (top not in sys.stdlib_module_names and top not in passed_by)
            or top == "__main__"
        ):
            return frame, ".".join(module.split(".")[:2]) if top == "nanoclaw" else top
        frame = frame.f_back
    return None, ""


def _replace_where_imported(stack: ExitStack, replaced: Mapping[int, Any]) -> None:
    """Also in the modules that have imported a function by name; `replaced` has them by `id`."""
    for names in _importers():
        for key, original in [each for each in names.items() if id(each[1]) in replaced]:
            names[key] = replaced[id(original)]
            stack.callback(names.__setitem__, key, original)


def _importers() -> list[dict[str, Any]]:
    """The names in all modules but the standard library's and the machinery's."""
    skipped = sys.stdlib_module_names | MACHINERY | LOGGERS
    modules = [(name.partition(".")[0], module) for name, module in list(sys.modules.items())]
    return [vars(each) for top, each in modules if top not in skipped and isinstance(each, ModuleType)]


@contextmanager
def _replaced_in_type(type_: type, name: str, value: object) -> Iterator[None]:
    """Replace a method of a type that is written in C: CPython keeps them in a dictionary like any other."""
    if sys.implementation.name != "cpython":
        yield
        return
    names: dict[str, Any] = gc.get_referents(type_.__dict__)[0]
    original = names[name]
    names[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(type_))
    try:
        yield
    finally:
        names[name] = original
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(type_))


_TARGETS: tuple[tuple[Any, str, str], ...] = (
    *((time, name, _CLOCK) for name in CLOCKS),
    (time, "sleep", _SLEEP),
    *((random, name, _RANDOM) for name in RANDOM),
    (os, "urandom", _RANDOM),
    (random, "_urandom", _RANDOM),
    (threading.Thread, "start", _THREAD),
    (ThreadCache, "start_thread_soon", _THREAD),
    (socket.socket, "__init__", _OUTSIDE),
    (subprocess.Popen, "__init__", _OUTSIDE),
)
