"""The bounds of sandboxes: control groups where this host may make some, else limits of single processes."""

import platform
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from nanoclaw.runtimes.protocol import NO_CORE, Limits
from nanoclaw.system.descriptors import soft_at_start

MEMORY, PROCESSES, CPUS = "memory", "processes", "cpus"
COUNTS_BY_NAMESPACE = (5, 14)
"""Since this version Linux counts the processes of a user apart in each user namespace."""
ADDRESSES = 4
"""Addresses that a process may have for each byte of memory: programs reserve more than they use."""


@frozen
class Means:
    """The way in which this machine can bound a whole sandbox."""

    name: str = ""
    """A description, for people. Empty: it cannot."""
    covers: frozenset[str] = frozenset()
    """The resources that it bounds: of `MEMORY`, `PROCESSES`, `CPUS`."""


def process_limits(limits: Limits, covered: frozenset[str]) -> str:
    """Return the limits of each process inside, as `inside.py` reads them, for what nothing else bounds."""
    wanted = {"NOFILE": f"{soft_at_start()}:", "CORE": f"{NO_CORE}:{NO_CORE}"}
    if limits.memory_bytes is not None and MEMORY not in covered:
        most = limits.memory_bytes * ADDRESSES
        wanted |= {"DATA": f"{limits.memory_bytes}:{limits.memory_bytes}", "AS": f"{most}:{most}"}
    if limits.processes is not None and PROCESSES not in covered and _counts_by_namespace():
        wanted["NPROC"] = f"{limits.processes}:{limits.processes}"
    return ",".join(f"{name}={value}" for name, value in wanted.items())


def limits_in_force(limits: Limits, means: Means) -> Mapping[str, str]:
    """Return in words how each bound of a sandbox is enforced on this machine."""
    by_group = f"by {means.name}"
    per_process = "for each process: there is no control group for sandboxes"
    return {
        MEMORY: _words(limits.memory_bytes, _size, by_group if MEMORY in means.covers else per_process),
        PROCESSES: _words(
            limits.processes, str, by_group if PROCESSES in means.covers else _count_of_processes()
        ),
        CPUS: _words(limits.cpus, lambda cpus: f"{cpus:g}", by_group if CPUS in means.covers else None),
    }


def _count_of_processes() -> str | None:
    return "by the limit of its user namespace" if _counts_by_namespace() else None


def _words(value: float | None, shown: Callable[[Any], str], how: str | None) -> str:
    if value is None:
        return "not bounded"
    return f"not bounded: {shown(value)} needs a control group" if how is None else f"{shown(value)}, {how}"


def _size(count: int) -> str:
    return f"{count / (1 << 20):g} MiB"


def _counts_by_namespace() -> bool:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return found is not None and (int(found[1]), int(found[2])) >= COUNTS_BY_NAMESPACE
