"""The system calls that no program of a sandbox may make, as a filter in classic BPF (seccomp(2)).

It is a list of refusals, made for x86_64 and aarch64. Calls of other architectures kill their program. Calls
that are newer than the list do not exist (ENOSYS), so programs fall back to older ones.
"""

import errno
import struct
from collections.abc import Iterator, Sequence

from attrs import frozen

from nanoclaw.runtimes.denied_calls import DENIED, FAMILIES, NEW_NAMESPACES, PERSONALITIES

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`."""
_X32 = 0x40000000
"""Numbers of x86_64 from here on are calls of x32, under which refused calls have other numbers."""
NEWEST = 470
"""The newest call that was looked at. Both architectures share the numbers from 424 on."""

TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which type into a terminal."""


@frozen
class Architecture:
    """The numbers of one architecture."""

    audit: int
    """Its number in the audit interface."""
    column: int
    """Its column in `DENIED`."""
    clone: int
    clone3: int
    socket: int
    socketpair: int
    personality: int
    ioctl: int
    has_x32: bool


ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 0, 56, 435, 41, 53, 135, 16, has_x32=True),
    "aarch64": Architecture(0xC00000B7, 1, 220, 435, 198, 199, 92, 29, has_x32=False),
}


def filter_for(machine: str) -> bytes | None:
    """Return the filter for a machine, as `platform.machine` names it. None: there is none."""
    found = ARCHITECTURES.get(machine)
    return None if found is None else b"".join(_instructions(found))


def _instructions(arch: Architecture) -> Iterator[bytes]:
    yield from (_load(_ARCHITECTURE), _if(_EQUAL, arch.audit, then=1), _return(_KILL), _load(_NUMBER))
    if arch.has_x32:
        yield from _refuse_if(_AT_LEAST, _X32, errno.ENOSYS)
    yield from _refuse_if(_AT_LEAST, NEWEST + 1, errno.ENOSYS)
    # Its flags are in memory, where no filter sees them. Programs fall back to clone.
    yield from _refuse_if(_EQUAL, arch.clone3, errno.ENOSYS)
    for numbers in DENIED.values():
        if (number := numbers[arch.column]) is not None:
            yield from _refuse_if(_EQUAL, number)
    yield from _for_call(arch.clone, 0, list(_refuse_if(_ANY_BIT, NEW_NAMESPACES)))
    yield from _for_call(
        arch.ioctl, 1, [each for code in TERMINAL_INPUT for each in _refuse_if(_EQUAL, code)]
    )
    for call in (arch.socket, arch.socketpair):
        yield from _for_call(call, 0, _refuse_unless(FAMILIES))
    yield from _for_call(arch.personality, 0, _refuse_unless(PERSONALITIES))
    yield _return(_ALLOW)


def _for_call(number: int, argument: int, checks: Sequence[bytes]) -> Iterator[bytes]:
    """Yield checks of the low half of one argument of a call; the other half means nothing to these calls."""
    yield _if(_EQUAL, number, other=len(checks) + 2)
    yield _load(_ARGUMENTS + 8 * argument)
    yield from checks
    yield _return(_ALLOW)


def _refuse_if(test: int, value: int, error: int = errno.EPERM) -> Iterator[bytes]:
    yield _if(test, value, other=1)
    yield _return(_ERROR | error)


def _refuse_unless(values: Sequence[int]) -> Sequence[bytes]:
    tests = [_if(_EQUAL, value, then=len(values) - n) for n, value in enumerate(values)]
    return [*tests, _return(_ERROR | errno.EPERM)]


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _if(test: int, value: int, *, then: int = 0, other: int = 0) -> bytes:
    """Return a test of the loaded word. `then` and `other` are the instructions to skip."""
    return _instruction(test, value, then, other)


def _return(value: int) -> bytes:
    return _instruction(_RETURN, value)


def _instruction(code: int, value: int, then: int = 0, other: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, other, value)
