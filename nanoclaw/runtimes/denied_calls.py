"""The system calls that no sandbox may use. Every runtime that filters calls takes them from here.

They reach the kernel's rarely used parts, or what namespaces do not hold back. `clone3` is refused with
ENOSYS, because a filter cannot read its flags; libraries then use `clone`.
"""

DENIED = frozenset(
    {
        # keys, programs in the kernel, and asynchronous calls, which no filter sees
        "add_key",
        "request_key",
        "keyctl",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        # other processes and their memory
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "process_madvise",
        "pidfd_getfd",
        "kcmp",
        # namespaces and mounts
        "unshare",
        "setns",
        "mount",
        "umount",
        "umount2",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "open_tree_attr",
        "fsopen",
        "fsmount",
        "fsconfig",
        "fspick",
        "pivot_root",
        "chroot",
        "statmount",
        "listmount",
        # files by handle, without a path
        "open_by_handle_at",
        "name_to_handle_at",
        # the machine: modules, time, swap, accounting, ports, its log and its name
        "init_module",
        "finit_module",
        "delete_module",
        "create_module",
        "get_kernel_syms",
        "query_module",
        "kexec_load",
        "kexec_file_load",
        "reboot",
        "swapon",
        "swapoff",
        "acct",
        "quotactl",
        "quotactl_fd",
        "settimeofday",
        "stime",
        "clock_settime",
        "clock_settime64",
        "clock_adjtime",
        "clock_adjtime64",
        "adjtimex",
        "iopl",
        "ioperm",
        "syslog",
        "sethostname",
        "setdomainname",
        "vhangup",
        "fanotify_init",
        "lookup_dcookie",
        "mbind",
        "set_mempolicy",
        "set_mempolicy_home_node",
        "get_mempolicy",
        "migrate_pages",
        "move_pages",
        "memfd_secret",
        "modify_ldt",
        # old calls that no program needs
        "_sysctl",
        "nfsservctl",
        "sysfs",
        "uselib",
        "ustat",
        "vm86",
        "vm86old",
        "vserver",
        "tuxcall",
        "security",
        "afs_syscall",
        "getpmsg",
        "putpmsg",
        "epoll_ctl_old",
        "epoll_wait_old",
    }
)
NEW_NAMESPACES = 0x7E020000
"""The flags of `clone` that make a namespace: CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}."""
FAMILIES = (1, 2, 10, 16)
"""The families of sockets that are allowed: unix, inet, inet6, netlink. No namespace holds back vsock."""
PERSONALITIES = (0, 0xFFFFFFFF)
"""The arguments of `personality` that are allowed: the usual one, and the question for it."""
