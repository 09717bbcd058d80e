"""The process's file descriptors: how many are used, the limit, and the limit of its children."""

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from attrs import frozen

_LISTS = (Path("/proc/self/fd"), Path("/dev/fd"))
_SOFT_AT_START = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@frozen
class Descriptors:
    """The use of file descriptors. `used` is None if the system does not tell."""

    used: int | None
    limit: int

    @property
    def reserve(self) -> int:
        """The number that no runner may take: the host needs them for its databases, channels and clients."""
        return max(8, min(32, self.limit // 8))

    @property
    def scarce(self) -> bool:
        """True if only the reserve is left."""
        return self.used is not None and self.limit - self.used <= self.reserve


def descriptors() -> Descriptors:
    """Return the use of descriptors now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Descriptors(_used(), sys.maxsize if soft == resource.RLIM_INFINITY else soft)


def soft_at_start() -> int:
    """Return the soft limit that this process had at its start. -1 is none."""
    return _SOFT_AT_START


def raise_limit() -> None:
    """Raise the soft limit of descriptors to the hard one. A system that refuses keeps its limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def restore_limit(pid: int) -> None:
    """Give a child the soft limit that this process had at its start.

    Programs that use select(2), or close every possible descriptor, need a low one.
    """
    if hasattr(resource, "prlimit"):
        with suppress(OSError, ValueError):  # it may be gone
            _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(_SOFT_AT_START, hard), hard))


def _used() -> int | None:
    for place in _LISTS:
        with suppress(OSError):
            return len(os.listdir(place)) - 1  # noqa: PTH208 -- names alone; the listing has a descriptor, too
    return None
