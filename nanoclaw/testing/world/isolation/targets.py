"""The functions that a simulated world refuses, and their replacements."""

import _posixsubprocess
import _thread
import os
import platform
import random
import resource
import select
import selectors
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any

from attrs import frozen
from trio._core._thread_cache import ThreadCache


class Kind(Enum):
    """The kind of a real resource; the value names the replacement."""

    CLOCK = "ask the clock of the world, or trio.current_time()"
    WAIT = "everything that takes time asks trio"
    RANDOM = "draw from a random.Random that the world's seed decides, such as world.random"
    NAME = "choose the name, beneath world.home say"
    THREAD = "virtual time jumps past what a thread does"
    OUTSIDE = "a simulated world has nothing outside: use its fake channel, or memory streams"


EFFECTS = frozenset({Kind.WAIT, Kind.THREAD, Kind.OUTSIDE})
"""Functions that affect the world even if trio or pytest calls them."""


Harmless = Callable[[Sequence[Any], Mapping[str, Any]], bool]
"""Returns whether a call with these arguments is harmless."""


def _never(_arguments: Sequence[Any], _options: Mapping[str, Any]) -> bool:
    return False


@frozen
class Target:
    """A function of a module, or a method of a class that is written in Python."""

    owner: Any
    name: str
    what: str
    """The name in the error."""
    kind: Kind
    is_harmless: Harmless = _never


def _given(count: int, name: str = "") -> Harmless:
    """Return whether that many arguments are given. Without the last one the present time is used."""
    return lambda arguments, options: (
        (*arguments, *[None] * count)[count - 1] is not None or (options.get(name) is not None)
    )


def _functions(kind: Kind, module: Any, *names: str) -> Iterator[Target]:
    """Yield the functions that this Python version has."""
    for name in names:
        if hasattr(module, name):
            yield Target(module, name, f"{module.__name__}.{name}", kind)


def _methods(kind: Kind, *owned: tuple[Any, str]) -> Iterator[Target]:
    for owner, name in owned:
        yield Target(owner, name, f"{owner.__name__}.{name}", kind)


def _of_the_shared_random() -> list[str]:
    """Return the functions of `random` that belong to its shared generator, which has no seed."""
    shared = random.getrandbits.__self__  # type: ignore[attr-defined]  # a bound method, which has it
    return [name for name, value in vars(random).items() if getattr(value, "__self__", None) is shared]


def _selectors() -> Iterator[Target]:
    for value in vars(selectors).values():
        if isinstance(value, type) and "select" in vars(value) and value is not selectors.BaseSelector:
            yield Target(value, "select", "Selector.select", Kind.WAIT)


_OWN_NAMES = tempfile._RandomNameSequence  # type: ignore[attr-defined]  # noqa: SLF001 -- each name comes from it

TARGETS: tuple[Target, ...] = (
    *_functions(Kind.CLOCK, time, "time", "time_ns", "monotonic", "monotonic_ns"),
    *_functions(Kind.CLOCK, time, "perf_counter", "perf_counter_ns", "clock_gettime", "clock_gettime_ns"),
    *_functions(Kind.CLOCK, time, "process_time", "process_time_ns", "thread_time", "thread_time_ns"),
    *(Target(time, name, f"time.{name}", Kind.CLOCK, _given(1)) for name in ("localtime", "gmtime")),
    *(Target(time, name, f"time.{name}", Kind.CLOCK, _given(1)) for name in ("ctime", "asctime")),
    Target(time, "strftime", "time.strftime", Kind.CLOCK, _given(2)),
    *_functions(Kind.CLOCK, os, "times"),
    *_functions(Kind.CLOCK, resource, "getrusage"),
    *_functions(Kind.WAIT, time, "sleep"),
    *_functions(Kind.WAIT, select, "select", "poll"),
    *_functions(Kind.WAIT, signal, "pause", "sigwait", "sigwaitinfo", "sigtimedwait"),
    *_selectors(),
    *_methods(Kind.WAIT, (threading.Condition, "wait"), (threading.Thread, "join")),
    *_functions(Kind.RANDOM, random, *_of_the_shared_random(), "_urandom"),
    Target(random.Random, "seed", "Random.seed", Kind.RANDOM, _given(2, "a")),
    *_functions(Kind.RANDOM, os, "urandom", "getrandom"),
    *_functions(Kind.RANDOM, uuid, "uuid1", "uuid6", "uuid7"),
    Target(_OWN_NAMES, "__next__", "tempfile", Kind.NAME),
    *_methods(Kind.THREAD, (threading.Thread, "start"), (ThreadPoolExecutor, "submit")),
    *_functions(Kind.THREAD, _thread, "start_new_thread", "start_new", "start_joinable_thread"),
    Target(ThreadCache, "start_thread_soon", "trio.to_thread.run_sync", Kind.THREAD),
    *_methods(Kind.OUTSIDE, (socket.socket, "__init__"), (subprocess.Popen, "__init__")),
    *_functions(Kind.OUTSIDE, socket, "getaddrinfo", "gethostbyname", "gethostbyname_ex"),
    *_functions(Kind.OUTSIDE, socket, "gethostbyaddr", "getnameinfo", "gethostname"),
    *_functions(Kind.OUTSIDE, platform, "node"),
    *_functions(Kind.OUTSIDE, os, "system", "fork", "forkpty", "posix_spawn", "posix_spawnp"),
    *_functions(Kind.OUTSIDE, os, "execv", "execve"),
    *_functions(Kind.OUTSIDE, _posixsubprocess, "fork_exec"),
)
"""`isolation` replaces those of `datetime`, which is written in C."""
