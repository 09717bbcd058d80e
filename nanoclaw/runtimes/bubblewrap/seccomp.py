"""The system calls that no program of a sandbox may make, as a filter in classic BPF (seccomp(2)).

It is a list of refusals, made for x86_64 and aarch64. Calls of other architectures kill their program. Calls
that are newer than the list do not exist (ENOSYS), so programs fall back to older ones.
"""

import errno
import struct
from collections.abc import Iterator, Sequence

from attrs import frozen

from nanoclaw.runtimes.denied_calls import FAMILIES, NEW_NAMESPACES, PERSONALITIES

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`."""
_X32 = 0x40000000
"""Numbers of x86_64 from here on are calls of x32, under which refused calls have other numbers."""
NEWEST = 470
"""The newest call that was looked at. Both architectures share the numbers from 424 on."""

# The numbers of `denied_calls.DENIED`, as far as these architectures have them.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # name: (number on x86_64, number on aarch64)
    # Keyrings are not part of any namespace.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # Parts of the kernel with many past faults.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
    # Namespaces and mounts. clone and clone3 are below.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # The machine.
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "uselib": (134, None),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "get_mempolicy": (239, 236),
    "set_mempolicy_home_node": (450, 450),
    # Old calls that no program needs.
    "nfsservctl": (180, 42),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "_sysctl": (156, None),
    "sysfs": (139, None),
    "ustat": (136, None),
    "getpmsg": (181, None),
    "putpmsg": (182, None),
    "afs_syscall": (183, None),
    "tuxcall": (184, None),
    "security": (185, None),
    "epoll_ctl_old": (214, None),
    "epoll_wait_old": (215, None),
    "vserver": (236, None),
}
TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which type into a terminal."""


@frozen
class Architecture:
    """The numbers of one architecture."""

    audit: int
    """Its number in the audit interface."""
    column: int
    """Its column in `REFUSED`."""
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
    for numbers in REFUSED.values():
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
