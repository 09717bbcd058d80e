"""The system calls that no sandbox may use. Every runtime that filters calls takes them from here.

They reach the kernel's rarely used parts, or what namespaces do not hold back. `clone3` is refused with
ENOSYS, because a filter cannot read its flags; libraries then use `clone`.
"""

from collections.abc import Mapping

DENIED: Mapping[str, tuple[int | None, int | None]] = {
    # name: (number on x86_64, number on aarch64); None where the architecture has no such call
    # keys, programs in the kernel, and asynchronous calls, which no filter sees
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # other processes and their memory
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount": (None, None),
    "umount2": (166, 39),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fsconfig": (431, 431),
    "fspick": (433, 433),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "statmount": (457, 457),
    "listmount": (458, 458),
    # files by handle, without a path
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    # the machine: modules, time, swap, accounting, ports, its log and its name
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "stime": (None, None),
    "clock_settime": (227, 112),
    "clock_settime64": (None, None),
    "clock_adjtime": (305, 266),
    "clock_adjtime64": (None, None),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "get_mempolicy": (239, 236),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    # old calls that no program needs
    "_sysctl": (156, None),
    "nfsservctl": (180, 42),
    "sysfs": (139, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "vm86": (None, None),
    "vm86old": (None, None),
    "vserver": (236, None),
    "tuxcall": (184, None),
    "security": (185, None),
    "afs_syscall": (183, None),
    "getpmsg": (181, None),
    "putpmsg": (182, None),
    "epoll_ctl_old": (214, None),
    "epoll_wait_old": (215, None),
}
NEW_NAMESPACES = 0x7E020000
"""The flags of `clone` that make a namespace: CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}."""
FAMILIES = (1, 2, 10, 16)
"""The families of sockets that are allowed: unix, inet, inet6, netlink. No namespace holds back vsock."""
PERSONALITIES = (0, 0xFFFFFFFF)
"""The arguments of `personality` that are allowed: the usual one, and the question for it."""
