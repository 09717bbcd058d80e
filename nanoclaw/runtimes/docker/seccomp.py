"""The filter of system calls of a container, in the form that an engine takes (seccomp, as JSON).

Only calls that were known when this was written are allowed, without those that no sandbox may use. An
engine's own profile would allow `ptrace` and sockets to the hypervisor, and older ones `io_uring`.
"""

import json
from collections.abc import Iterable
from errno import ENOSYS, EPERM
from functools import cache
from pathlib import Path

from nanoclaw.runtimes.denied_calls import DENIED, FAMILIES, NEW_NAMESPACES, PERSONALITIES

KNOWN = Path(__file__).with_name("known_calls.txt")
"""The names of Linux's system calls, of all architectures. An engine leaves out those that its own lacks."""
WITH_RULES = frozenset({"clone", "clone3", "personality", "socket"})
INT = 0xFFFFFFFF
"""The kernel reads 32 bits of an `int`. A comparison of all 64 could be evaded."""

Rule = dict[str, object]


@cache
def profile() -> str:
    """Return the profile. Architectures other than the machine's own are refused, such as 32 bits."""
    allowed = sorted(set(KNOWN.read_text("ascii").split()) - set(DENIED) - WITH_RULES)
    rules = [
        _allow(allowed),
        _allow(["clone"], _masked(NEW_NAMESPACES, 0)),
        *(_allow(["socket"], _masked(INT, family)) for family in FAMILIES),
        *(_allow(["personality"], _masked(INT, value)) for value in PERSONALITIES),
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
    ]
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": EPERM, "syscalls": rules})


def _allow(names: Iterable[str], *arguments: Rule) -> Rule:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _masked(mask: int, value: int) -> Rule:
    """Return the condition that the first argument has this value under a mask."""
    return {"index": 0, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
