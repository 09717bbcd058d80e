"""A program that runs in a container and writes what it may do there to `seen.json` of the workspace."""
# ruff: noqa: BLE001, PTH108, PTH123, PTH208, S108, SIM115 -- a program of one argument

import ctypes
import errno
import json
import os
import resource
import socket

LIBC = ctypes.CDLL(None, use_errno=True)
CALLS = {
    "ptrace": (101, 0, 1, 0, 0),
    "keyctl": (250, 0, -3, 0, 0),
    "add_key": (248, b"user", b"a", b"b", 1, -3),
    "bpf": (321, 0, 0, 0),
    "io_uring_setup": (425, 1, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, 0),
    "unshare": (272, 0x10000000),
    "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0),
    "setns": (308, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "name_to_handle_at": (303, -100, b"/", 0, 0, 0),
    "vsock": (41, 40, 1, 0),
    "vsock with high bits": (41, (1 << 32) | 40, 1, 0),
    "clone into a user namespace": (56, 0x10000011, 0, 0, 0, 0),
}
PLACES = (
    *(
        "/",
        "/etc",
        "/opt/nanoclaw",
        "/usr",
        "/workspace",
        "/workspace/agent",
        "/workspace/in",
        "/workspace/gateway",
    ),
    *("/tmp", "/home/agent", "/proc/sys/kernel", "/sys"),
)


def call(*arguments: "int | bytes") -> str:
    ctypes.set_errno(0)
    values = [ctypes.c_char_p(each) if isinstance(each, bytes) else ctypes.c_long(each) for each in arguments]
    done = LIBC.syscall(*values)
    if done == 0 and arguments[0] == 56:
        os._exit(0)
    return "done" if done >= 0 else errno.errorcode[ctypes.get_errno()]


def writable(place: str) -> bool:
    try:
        open(f"{place}/.probe", "w").close()
        os.unlink(f"{place}/.probe")
    except OSError:
        return False
    return True


def connect(address: str) -> str:
    try:
        socket.create_connection((address, 80), 1).close()
    except Exception as error:
        return "OSError" if isinstance(error, OSError) else type(error).__name__
    return "connected"


def forked() -> int:
    children = []
    try:
        for _ in range(200):
            pid = os.fork()
            if pid == 0:
                os.read(os.pipe()[0], 1)
            children.append(pid)
    except OSError:
        pass
    for pid in children:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return len(children)


status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
mounts = {line.split()[1]: line.split()[3] for line in open("/proc/mounts")}
room = os.statvfs("/tmp")
seen = {
    "uid": os.getuid(),
    "gid": os.getgid(),
    "groups": os.getgroups(),
    **{
        name: status[name]
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    },
    "interfaces": sorted(name for _, name in socket.if_nameindex()),
    "connect": {each: connect(each) for each in ("203.0.113.1", "169.254.169.254", "2001:db8::1")},
    "writable": {place: writable(place) for place in PLACES},
    "home": os.environ["HOME"],
    "mounts": {place: mounts.get(place, "") for place in ("/tmp", "/home/agent")},
    "nofile": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
    "tmp_bytes": room.f_blocks * room.f_frsize,
    "calls": {name: call(*arguments) for name, arguments in CALLS.items()},
    "pids": [name for name in os.listdir("/proc") if name.isdigit()],
    "devices": os.listdir("/dev"),
    "engine": any(map(os.path.exists, ("/run/docker.sock", "/var/run/docker.sock"))),
    "forked": forked(),
}
with open("/workspace/agent/seen.json", "w") as file:
    json.dump(seen, file)
