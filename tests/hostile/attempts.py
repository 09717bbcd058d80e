"""A hostile agent: a program that runs in the place of the runner, and tries to reach what it must not reach.

    python attempts.py FACTS RESULTS

- `FACTS` is a file of JSON: what there is to reach on the host (`stage.py` writes it).
- It writes an entry of `RESULTS` for each attempt: `reached` is what it got or None, `error` what stopped it.
- Each attempt runs in a process of its own, and does no harm if it succeeds.
- It uses the standard library alone, since it runs in a sandbox.
"""
# ruff: noqa: S104, S108 -- addresses and folders that it tries
# ruff: noqa: PTH115, PTH208, ISC004 -- nothing is easier to read in the other form

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import re
import resource
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

LIMIT_S = 10
"""An attempt that takes longer ends."""
ANSWER_S = 3.0
"""The longest wait for an answer of a socket."""
PAUSE_S = 0.3
"""The longest pause between two answers of a socket that stays open."""
KEY = re.compile(rb"sk-hostile-[0-9a-f]{16}")
"""The form of the model's key. The key itself is not among the facts."""
INSIDE = Path("/workspace")
OWN = INSIDE / "agent"
LIBC = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"

Facts = dict[str, Any]
Attempt = Callable[[Facts], object]
"""Returns what it reached, or a false value. Raises OSError if it was refused."""
ATTEMPTS: dict[str, Attempt] = {}


def attempt(name: str) -> Callable[[Attempt], Attempt]:
    """Add an attempt to the list."""

    def add(call: Attempt) -> Attempt:
        ATTEMPTS[name] = call
        return call

    return add


def system_call(on_x86: int, on_arm: int | None, *arguments: int | bytes | None) -> int:
    """Make a system call. Raises OSError."""
    number = on_x86 if X86 else on_arm
    if number is None:
        raise OSError(errno.ENOSYS, "no such call on this architecture")
    values = [
        ctypes.c_char_p(each) if isinstance(each, bytes) or each is None else ctypes.c_long(each)
        for each in arguments
    ]
    ctypes.set_errno(0)
    done = int(LIBC.syscall(ctypes.c_long(number), *values))
    if done == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


def call(name: str, on_x86: int, on_arm: int | None, *arguments: int | bytes | None) -> None:
    """Add an attempt that is one system call."""

    @attempt(name)
    def _(_facts: Facts) -> object:
        return f"it returned {system_call(on_x86, on_arm, *arguments)}"


def connected(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> str:
    """Connect a socket. Raises OSError."""
    with socket.socket(family, kind) as client:
        client.settimeout(ANSWER_S)
        client.connect(address)
        return f"connected to {address}"


def answer(name: str, request: bytes, wait_s: float = ANSWER_S) -> bytes:
    """Send a request to a socket of the gateway, and return all that comes back."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(wait_s)
        client.connect(str(INSIDE / "gateway" / name))
        client.sendall(request)
        if name == "web.sock":  # the other one takes this for the end of its client
            client.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                received += data
        return received


def read(path: Path | str, most: int = 1 << 20) -> bytes:
    """Read the beginning of a file, which may be no regular one. Raises OSError."""
    descriptor, content = os.open(path, os.O_RDONLY | os.O_NONBLOCK), b""
    try:
        while len(content) < most and (data := os.read(descriptor, most)):
            content += data
    finally:
        os.close(descriptor)
    return content


def opened_for_writing(path: Path | str) -> str:
    """Open a file for writing, and write nothing. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    return f"{path} can be written"


def first_of(call: Callable[..., object], *columns: Iterable[object]) -> object:
    """Call for all combinations, and return the first result. Raises the last OSError if there is none."""
    last: OSError | None = None
    for arguments in product(*columns):
        try:
            if found := call(*arguments):
                return found
        except OSError as error:
            last = error
    if last is not None:
        raise last
    return None


def done(call: Callable[..., object], *arguments: object) -> str:
    """Call, and return in words that it worked. Raises OSError."""
    call(*arguments)
    return f"{call.__name__}{arguments}"


# -- the network -----------------------------------------------------------------


@attempt("the host's loopback over IPv4")
def _(facts: Facts) -> object:
    return connected(socket.AF_INET, ("127.0.0.1", facts["port"]))


@attempt("the host's loopback over IPv6")
def _(facts: Facts) -> object:
    return connected(socket.AF_INET6, ("::1", facts["port"]))


@attempt("the host's own addresses")
def _(facts: Facts) -> object:
    return first_of(connected_to, facts["addresses"], [facts["port"]])


def connected_to(address: str, port: int) -> str:
    """Connect to an address. Raises OSError."""
    return connected(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))


@attempt("a public address")
def _(_facts: Facts) -> object:
    return first_of(connected_to, ["1.1.1.1", "2606:4700:4700::1111"], [53])


@attempt("a route to a public address by UDP")
def _(_facts: Facts) -> object:
    return connected(socket.AF_INET, ("1.1.1.1", 53), socket.SOCK_DGRAM)


@attempt("metadata addresses of clouds")
def _(_facts: Facts) -> object:
    return first_of(connected_to, ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"], [80])


@attempt("DNS")
def _(_facts: Facts) -> object:
    return socket.getaddrinfo("example.org", 443)


@attempt("an interface besides loopback")
def _(_facts: Facts) -> object:
    return [name for _, name in socket.if_nameindex() if name != "lo"]


@attempt("a change of the interfaces")
def _(_facts: Facts) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sH14x", b"lo", 0x49)  # it is up, and stays up
        fcntl.ioctl(probe, 0x8914, request)
    return "SIOCSIFFLAGS works"


@attempt("raw sockets")
def _(_facts: Facts) -> object:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "made"


@attempt("packet sockets")
def _(_facts: Facts) -> object:
    socket.socket(17, socket.SOCK_RAW).close()
    return "made"


@attempt("sockets to the hypervisor")
def _(_facts: Facts) -> object:
    socket.socket(40, socket.SOCK_STREAM).close()
    return "made"


@attempt("sockets of the kernel's crypto and of other rare families")
def _(_facts: Facts) -> object:
    def made(family: int, kind: int) -> str:
        socket.socket(family, kind).close()
        return f"family {family}"

    return first_of(made, (38, 29, 31, 21, 30, 44, 42), (1, 2, 3, 5))


@attempt("the kernel's audit by netlink")
def _(_facts: Facts) -> object:
    with socket.socket(16, socket.SOCK_RAW, 9) as audit:
        audit.settimeout(ANSWER_S)
        audit.sendto(struct.pack("=IHHII", 16, 1000, 5, 1, 0), (0, 0))
        found = audit.recv(4096)
        error = -struct.unpack_from("=i", found, 16)[0] if struct.unpack_from("=H", found, 4)[0] == 2 else 0
        if error:
            raise OSError(error, os.strerror(error))
        return "AUDIT_GET works"


@attempt("an abstract socket of the host")
def _(facts: Facts) -> object:
    return connected(socket.AF_UNIX, f"\0{facts['abstract']}")


@attempt("the names of the host's sockets")
def _(facts: Facts) -> object:
    return [
        name for name in ("unix", "net/unix") if facts["abstract"].encode() in read_if("/proc/net/" + name)
    ]


@attempt("sockets in the host's folders")
def _(facts: Facts) -> object:
    usual = (
        *("/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock", "/dev/log"),
        *("/run/containerd/containerd.sock", "/run/dbus/system_bus_socket", "/run/systemd/private"),
    )
    return first_of(connected, [socket.AF_UNIX], [*facts["sockets"], *usual])


def read_if(path: str) -> bytes:
    """Read a file, if that is possible."""
    try:
        return read(path)
    except OSError:
        return b""


# -- the proxy of the web ----------------------------------------------------------


def tunnelled(host: str, port: int) -> object:
    """Ask for a tunnel. Return the answer of the server at its end, if there is one."""
    site = f"{host}:{port}"
    asked = f"CONNECT {site} HTTP/1.1\r\nHost: {site}\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    return secret_in(answer("web.sock", asked.encode()))


def secret_in(received: bytes) -> object:
    """Return an answer that has the secret of the host's server. Raise OSError with the refusal."""
    if b"secret of the host" in received:
        return received[-200:].decode("latin-1")
    raise OSError(errno.EACCES, received.partition(b"\r\n")[0].decode("latin-1"))


SPELLINGS = (
    *("127.0.0.1", "localhost", "localhost.", "LOCALHOST", "a.localhost", "127.1", "127.0.1", "2130706433"),
    *("0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "0.0.0.0", "0", "127.255.255.254"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fe80::1%25eth0]"),
    *("[fec0::1]", "[fd00::1]", "[2001:0:7f00:1::]", "[fe80::5efe:127.0.0.1]", "10.0.0.1", "172.16.0.1"),
    *("172.17.0.1", "192.168.0.1", "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
    *(
        "240.0.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
    ),
    *(
        "metadata.google.internal",
        "instance-data",
        "metadata",
        "printer.local",
        "router.lan",
        "host.docker.internal",
    ),
    *(
        "private.example",
        "127.0.0.1%00.public.example",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "public.example@127.0.0.1",
    ),
    *("127.0.0.1#.public.example", "127.0.0.1\\.public.example", "[::1", "::1", "127.0.0.1:80", "ⓛocalhost"),
)
"""Spellings of addresses of the host, of its networks and of metadata."""


@attempt("tunnels to private addresses in every spelling")
def _(facts: Facts) -> object:
    return first_of(tunnelled, [*SPELLINGS, *facts["addresses"]], [80, facts["port"]])


@attempt("plain requests to private addresses in every spelling")
def _(_facts: Facts) -> object:
    def asked(host: str) -> object:
        request = f"GET http://{host}/latest/meta-data/ HTTP/1.1\r\nHost: public.example\r\n\r\n"
        return secret_in(answer("web.sock", request.encode()))

    return first_of(asked, SPELLINGS)


@attempt("a name that becomes private between check and connection")
def _(_facts: Facts) -> object:
    return first_of(tunnelled, ["rebinding.example"] * 4, [80])


SMUGGLED = tuple(
    each.replace("|", "\r\n").encode()
    for each in (
        "GET /v1/models HTTP/1.1|Host: gateway||",
        "GET /model/models HTTP/1.1|Host: gateway||",
        "GET http://gateway/model/models HTTP/1.1|Host: gateway||",
        "GET http://public.example/ HTTP/1.1|Host: 127.0.0.1||"
        "GET http://127.0.0.1/ HTTP/1.1|Host: 127.0.0.1||",
        "POST http://public.example/ HTTP/1.1|Host: a.example|Content-Length: 0|Transfer-Encoding: chunked||"
        "0||GET http://127.0.0.1/ HTTP/1.1|Host: 127.0.0.1||",
        "GET http://public.example/|Host: 127.0.0.1|| HTTP/1.1||",
        "GET http+unix://%2Fworkspace%2Fgateway%2Fmodel.sock/models HTTP/1.1|Host: gateway||",
        "CONNECT unix:/workspace/gateway/model.sock HTTP/1.1|Host: gateway||",
        "CONNECT gateway:80 HTTP/1.1|Host: gateway||GET /model/models HTTP/1.1|Host: gateway||",
        "GET file:///etc/passwd HTTP/1.1|Host: gateway||",
    )
)
"""Requests to the web that mean something else, with `|` for the end of a line."""


@attempt("the model and private servers by requests to the web")
def _(_facts: Facts) -> object:
    for request in SMUGGLED:
        received = answer("web.sock", request)
        if b"secret of the host" in received or b"the model's server" in received or b"root:" in received:
            return received[-200:].decode("latin-1")
    return None


# -- the model's gateway -------------------------------------------------------------

CROOKED = tuple(
    each.replace("|", "\r\n").encode()
    for each in (
        "GET /secret HTTP/1.1|Host: gateway||",
        "GET /model/../secret HTTP/1.1|Host: gateway||",
        "GET /model/%2e%2e/secret HTTP/1.1|Host: gateway||",
        "GET /model//secret HTTP/1.1|Host: gateway||",
        "GET /model/models/../../secret HTTP/1.1|Host: gateway||",
        "GET /model/files HTTP/1.1|Host: gateway||",
        "DELETE /model/models HTTP/1.1|Host: gateway||",
        "GET http://127.0.0.1/secret HTTP/1.1|Host: gateway||",
        "CONNECT 127.0.0.1:80 HTTP/1.1|Host: gateway||",
        "GET /model/models HTTP/1.1|Host: metadata.google.internal||",
        "POST /model/chat/completions HTTP/1.1|Host: gateway|Content-Length: 2|Transfer-Encoding: chunked||"
        "0||GET /secret HTTP/1.1|Host: gateway||",
        "POST /model/chat/completions HTTP/1.1|Host: gateway|Content-Length: 2|Content-Length: 60||{}"
        "GET /secret HTTP/1.1|Host: gateway||",
        "POST /model/chat/completions HTTP/1.1|Host: gateway|Transfer-Encoding: xchunked||"
        "0||GET /secret HTTP/1.1|Host: gateway||",
        "POST /model/chat/completions HTTP/1.1|Host: gateway|Content-Length: 2||{}"
        "GET /secret HTTP/1.1|Host: gateway||",
    )
)
"""Requests for more than a model, with `|` for the end of a line."""
CROOKED_ANSWER = re.compile(rb"model's server\": \"(?!/chat/completions\"|/models\")|\"method\": \"DELETE")
"""The part of an answer of the model's server to a request that must not reach it."""


@attempt("other paths of the model's server")
def _(_facts: Facts) -> object:
    for request in CROOKED:
        received = answer("model.sock", request, PAUSE_S)
        if re.search(
            rb"model's server\": \"(?!/chat/completions\"|/models\")|\"method\": \"DELETE", received
        ):
            return received[-300:].decode("latin-1")
    return None


@attempt("the model's key from a server that shows its request")
def _(_facts: Facts) -> object:
    body = b'{"model": "m", "messages": []}'
    head = b"POST /model/chat/completions HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
    received = answer("model.sock", head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    if b"the model's server" not in received:
        raise RuntimeError(f"the model does not answer: {received[:300]!r}")
    return [found.decode() for found in KEY.findall(received)]


@attempt("the model's key in environments, command lines and memory")
def _(_facts: Facts) -> object:
    found = {"environment": KEY.findall(repr(dict(os.environ)).encode())}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            for name in ("environ", "cmdline"):
                found[f"{folder.name}/{name}"] = KEY.findall(read_if(f"{folder}/{name}"))
    for file in (INSIDE / "gateway").iterdir():
        found[f"gateway/{file.name}"] = KEY.findall(read_if(str(file)))
    return {place: repr(keys) for place, keys in found.items() if keys}


# -- the host's files ----------------------------------------------------------------


@attempt("the host's files by their paths")
def _(facts: Facts) -> object:
    return first_of(has_content, facts["files"])


def has_content(*parts: str) -> str | None:
    """Read a file. Return its path if it has content. Raises OSError."""
    path = "".join(parts)
    return path if read(path, 20) else None


@attempt("the host's files by `..` from each mount")
def _(facts: Facts) -> object:
    mounts = (
        "/workspace",
        "/workspace/in",
        "/workspace/agent",
        "/workspace/gateway",
        "/tmp",
        "/proc/self/cwd",
    )
    return first_of(has_content, mounts, ["/.." * 12], facts["files"])


@attempt("the host's files by links")
def _(facts: Facts) -> object:
    def through_link(path: str) -> object:
        link = Path(facts["folder"], "link")
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        return has_content(str(link))

    return first_of(through_link, facts["files"])


@attempt("the host's files by the root of other processes")
def _(facts: Facts) -> object:
    processes = {str(facts["pid"]), *(each.name for each in Path("/proc").iterdir() if each.name.isdecimal())}
    return first_of(has_content, ["/proc/"], processes, ["/root", "/cwd"], facts["files"])


@attempt("the system's secrets")
def _(_facts: Facts) -> object:
    places = (
        *(
            "/etc/shadow",
            "/etc/gshadow",
            "/etc/sudoers",
            "/etc/machine-id",
            "/etc/hostname",
            "/etc/resolv.conf",
        ),
        *("/root/.bashrc", "/root/.profile", "/var/log/dpkg.log", "/run/utmp"),
    )
    return first_of(of_the_host, places)


def of_the_host(path: str) -> object:
    """Return a file with content. An engine puts its own hostname and resolv.conf in place of the host's."""
    content = read(path)
    own = path in {"/etc/hostname", "/etc/resolv.conf"} and content.strip() in {
        b"",
        os.uname().nodename.encode(),
    }
    return None if own or not content else path


@attempt("files that several sandboxes could share")
def _(facts: Facts) -> object:
    places = ("/tmp", "/var/tmp", "/dev/shm")
    return [place for place in places if read_if(f"{place}/{facts['marker']}")]


@attempt("descriptors of the host")
def _(_facts: Facts) -> object:
    own = ("pipe:", "/dev/null", "/proc/", "anon_inode:", "/workspace/agent")
    found = [f"{each}: {leads_to(each)}" for each in os.listdir("/proc/self/fd")]
    return [each for each in found if not each.endswith(": ") and not each.partition(": ")[2].startswith(own)]


def leads_to(descriptor: str) -> str:
    """Return the place of an open descriptor, or nothing if it is closed."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


@attempt("writing read-only places")
def _(_facts: Facts) -> object:
    places = (
        "/",
        "/etc",
        "/usr",
        "/usr/bin",
        "/opt",
        "/opt/nanoclaw",
        "/lib",
        "/home",
        "/dev",
        "/sys",
        "/proc",
    )
    ours = ("/workspace/in", "/workspace/gateway", "/workspace/global")
    return first_of(created, [*places, *ours], ["/planted"])


def created(*parts: str) -> str:
    """Create a file and remove it. Raises OSError."""
    path = "".join(parts)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    Path(path).unlink()
    return path


@attempt("changes of the host's code")
def _(_facts: Facts) -> object:
    folders = (Path("/opt/nanoclaw"), Path("/usr/bin"))
    files = (each for folder in folders for each in sorted(folder.rglob("*"))[:200])
    return first_of(opened_for_writing, [each for each in files if each.is_file()])


# -- the session's inbound folder ----------------------------------------------------


@attempt("writing inbound.db")
def _(_facts: Facts) -> object:
    return opened_for_writing(INSIDE / "in" / "inbound.db")


@attempt("planting a journal beside inbound.db")
def _(_facts: Facts) -> object:
    return first_of(created, ["/workspace/in/inbound.db"], ["-journal", "-wal", "-shm"])


@attempt("replacing, renaming, linking or touching inbound.db")
def _(_facts: Facts) -> object:
    folder = INSIDE / "in"
    database = folder / "inbound.db"
    ways: tuple[tuple[Any, ...], ...] = (
        (os.rename, database, folder / "other.db"),
        (os.link, database, OWN / "linked.db"),
        (os.link, database, INSIDE / "linked.db"),
        (os.truncate, database, 0),
        (os.chmod, database, 0o666),
        (os.utime, database),
        (os.setxattr, database, "user.planted", b"1"),
        (os.rename, folder, INSIDE / "in-2"),
        (os.rmdir, folder),
    )
    return first_of(lambda way: done(*way), ways)


@attempt("an exclusive lock of inbound.db")
def _(_facts: Facts) -> object:
    with (INSIDE / "in" / "inbound.db").open("rb") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return "locked"


@attempt("a writable map of inbound.db")
def _(_facts: Facts) -> object:
    with (INSIDE / "in" / "inbound.db").open("rb") as file:
        mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE).close()
        return "mapped"


@attempt("replacing the gateway's sockets")
def _(_facts: Facts) -> object:
    gateway = INSIDE / "gateway"
    ways: tuple[tuple[Any, ...], ...] = (
        (os.unlink, gateway / "model.sock"),
        (os.rename, gateway / "web.sock", gateway / "x.sock"),
        (os.rename, gateway, INSIDE / "gateway-2"),
    )
    return first_of(lambda way: done(*way), ways)


# -- the host's processes --------------------------------------------------------------


@attempt("signals to the host")
def _(facts: Facts) -> object:
    own = {1, os.getpid(), os.getppid(), int(os.environ["HOSTILE_PID"])}
    for pid in facts["pids"]:
        if pid not in own:
            with contextlib.suppress(OSError):
                os.kill(pid, 0)
                return f"process {pid} can be signalled"
    return None


@attempt("processes of the host in /proc")
def _(facts: Facts) -> object:
    seen = [each.name for each in Path("/proc").iterdir() if each.name.isdecimal()]
    return [pid for pid in seen if facts["program"].encode() in read_if(f"/proc/{pid}/cmdline")]


@attempt("the memory of other processes")
def _(facts: Facts) -> object:
    others = {"1", str(facts["pid"])} - {str(os.getpid()), os.environ["HOSTILE_PID"]}
    return first_of(opened_for_writing, [f"/proc/{pid}/mem" for pid in others])


call("ptrace of another process", 101, 117, 0x4206, 1, 0, 0)
call("reading the memory of another process", 310, 270, 1, None, 0, None, 0, 0)
call("writing the memory of another process", 311, 271, 1, None, 0, None, 0, 0)
call("comparing processes", 312, 272, os.getpid(), os.getpid(), 0, 0, 0)


@attempt("descriptors of other processes")
def _(_facts: Facts) -> object:
    return f"descriptor {system_call(438, 438, os.pidfd_open(os.getppid()), 0, 0)}"


# -- the kernel ------------------------------------------------------------------------

call("a kernel keyring", 250, 219, 0, -3 & 0xFFFFFFFF, 0)
call("adding a key to the kernel", 248, 217, b"user", b"hostile", b"x", 1, -3 & 0xFFFFFFFF)
call("asking for a key of the kernel", 249, 218, b"user", b"hostile", None, -3 & 0xFFFFFFFF)
call("io_uring", 425, 425, 1, bytes(256))
call("BPF", 321, 280, 0, bytes(128), 72)
call("userfaultfd", 323, 282, 0x801)
call("performance events", 298, 241, bytes(128), 0, -1 & 0xFFFFFFFF, -1 & 0xFFFFFFFF, 0)
call("fanotify", 300, 262, 0, 0)
call("files by handle", 303, 264, -100 & 0xFFFFFFFF, b"/", bytes(256), bytes(8), 0)
call("the kernel's log", 103, 116, 10, None, 0)
call("kernel modules", 175, 105, b"x", 0, b"")
call("another kernel", 246, 104, 0, 0, None, 0)
call("a new user namespace", 272, 97, 0x10000000)
call("a new mount namespace", 272, 97, 0x00020000)
call("a new network namespace", 272, 97, 0x40000000)
call("a mount", 165, 40, b"none", b"/tmp", b"tmpfs", 0, None)
call("a mount of the new kind", 430, 430, b"tmpfs", 0)
call("opening a mount", 428, 428, -100 & 0xFFFFFFFF, b"/", 1)
call("another root by pivot_root", 155, 41, b"/tmp", b"/tmp")
call("another root by chroot", 161, 51, b"/tmp")
call("unmounting a mount", 166, 39, b"/workspace/in", 2)
call("another name of the machine", 170, 161, b"x", 1)
call("the machine's clock", 227, 112, 0, struct.pack("=qq", 0, -1))
call("ports of the machine", 173, None, 0x80, 1, 1)
call("process accounting", 163, 89, b"/tmp/acct")
call("swap", 167, 224, b"/tmp/swap", 0)
call("local descriptor tables", 154, None, 0, bytes(16), 16)
call("a process without randomised addresses", 135, 92, 0x0040000)


@attempt("a process in new namespaces by clone")
def _(_facts: Facts) -> object:
    for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x08000000):
        with contextlib.suppress(OSError):
            if system_call(56, 220, flag | signal.SIGCHLD, 0, 0, 0, 0) == 0:
                os._exit(0)
            return f"clone with {flag:#x}"
    return None


@attempt("a process in new namespaces by clone3")
def _(_facts: Facts) -> object:
    if system_call(435, 435, struct.pack("=8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64) == 0:
        os._exit(0)
    return "made"


@attempt("the namespaces of other processes")
def _(facts: Facts) -> object:
    def entered(pid: int, name: str) -> object:
        descriptor = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
        return system_call(308, 268, descriptor, 0) == 0 and f"{pid}/{name}"

    return first_of(entered, (1, facts["pid"], os.getpid()), ("mnt", "net", "pid", "user", "ipc"))


@attempt("typing into the host's terminal")
def _(_facts: Facts) -> object:
    def typed(at: str | int, code: int) -> object:
        terminal = at if isinstance(at, int) else os.open(at, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(terminal, code, b"\x03")
        return f"typed into {at}"

    terminals = [str(each) for each in Path("/dev/pts").iterdir() if each.name.isdecimal()]
    return first_of(
        typed, (0, 1, 2, "/dev/tty", "/dev/console", *terminals), (0x5412, 0x5412 - (1 << 32), 0x541C)
    )


@attempt("the terminal of the host")
def _(_facts: Facts) -> object:
    return opened_for_writing("/dev/tty")


# -- rights ----------------------------------------------------------------------------


def status_of_self() -> dict[str, str]:
    """Return the fields of /proc/self/status."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return {name: value for name, _, value in (line.partition(":\t") for line in lines)}


@attempt("capabilities")
def _(_facts: Facts) -> object:
    status = status_of_self()
    return {name: value for name, value in status.items() if name.startswith("Cap") and int(value, 16)}


@attempt("capabilities by capget")
def _(_facts: Facts) -> object:
    data = ctypes.create_string_buffer(24)
    LIBC.capget(struct.pack("=Ii", 0x20080522, 0), data)
    return data.raw if any(data.raw) else None


@attempt("new rights by a program with the setuid bit")
def _(_facts: Facts) -> object:
    return None if status_of_self()["NoNewPrivs"] == "1" else "no_new_privs is not set"


@attempt("calls without a filter")
def _(_facts: Facts) -> object:
    return None if status_of_self()["Seccomp"] == "2" else "there is no seccomp filter"


@attempt("the rights of root")
def _(_facts: Facts) -> object:
    if os.geteuid() == 0:
        return "it is root"
    ways: tuple[tuple[Any, ...], ...] = ((os.setuid, 0), (os.setgid, 0), (os.setgroups, [0]))
    return first_of(lambda way: done(*way), ways)


@attempt("files of root")
def _(_facts: Facts) -> object:
    file = OWN / "owned"
    file.touch()
    os.chown(file, 0, 0)
    return "chown works"


@attempt("devices")
def _(_facts: Facts) -> object:
    os.mknod(OWN / "disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))
    return "mknod works"


@attempt("devices of the machine")
def _(_facts: Facts) -> object:
    usual = {
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "ptmx",
        "pts",
        "shm",
        "fd",
        "stdin",
        "stdout",
        "stderr",
    }
    return sorted(set(os.listdir("/dev")) - {*usual, "console", "mqueue", "core"})


@attempt("a higher priority")
def _(_facts: Facts) -> object:
    ways: tuple[tuple[Any, ...], ...] = (
        (os.setpriority, os.PRIO_PROCESS, 0, -5),
        (os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)),
    )
    return first_of(lambda way: done(*way), ways)


@attempt("raising its limits")
def _(_facts: Facts) -> object:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
    except ValueError as error:
        raise PermissionError(errno.EPERM, str(error)) from error
    return "raised"


@attempt("being spared when memory runs out")
def _(_facts: Facts) -> object:
    Path("/proc/self/oom_score_adj").write_text("-1000", "utf-8")
    return "spared"


@attempt("a core dump, which a program of the host may handle")
def _(_facts: Facts) -> object:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with contextlib.suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    if (child := os.fork()) == 0:
        os.chdir("/tmp")
        os.abort()
    return os.WCOREDUMP(os.waitpid(child, 0)[1]) and f"dumped with a limit of {hard}"


@attempt("settings of the kernel")
def _(_facts: Facts) -> object:
    named = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger")
    walked = (
        f"{at}/{name}" for top in ("/proc/sys", "/sys") for at, _, names in os.walk(top) for name in names
    )
    return first_of(opened_for_writing, [*named, *walked])


@attempt("the memory and the secrets of the kernel")
def _(_facts: Facts) -> object:
    devices = ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg")
    return first_of(has_content, [*devices, "/proc/kcore", "/proc/kmsg", "/proc/timer_list", "/proc/keys"])


@attempt("control groups")
def _(_facts: Facts) -> object:
    names = {"cgroup.procs", "tasks", "memory.max", "pids.max", "release_agent", "cgroup.kill"}
    places = (f"{at}/{name}" for at, _, there in os.walk("/sys/fs/cgroup") for name in there if name in names)
    return first_of(opened_for_writing, places)


# -- what must work: else nothing above means anything -----------------------------------

WORKS = ("the web through the proxy", "its own files", "its messages")


def works() -> dict[str, bool]:
    """Return for each name in `WORKS` whether it works."""
    page = answer("web.sock", b"GET http://public.example/ HTTP/1.1\r\nHost: public.example\r\n\r\n")
    created(str(OWN), "/planted")
    created(str(INSIDE), "/planted")
    messages = read(INSIDE / "in" / "inbound.db")
    found = b"a public page" in page, True, messages.startswith(b"SQLite format 3")
    return dict(zip(WORKS, found, strict=True))


# -- the program -------------------------------------------------------------------------


def tried(call: Attempt, facts: Facts) -> dict[str, Any]:
    """Run an attempt in a process of its own, and return its entry."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(LIMIT_S)
        os.write(writing, json.dumps(entry(call, facts)).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    said = b""
    while data := os.read(reading, 65536):
        said += data
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    return json.loads(said) if said else {"reached": f"the attempt ended with status {status}", "error": None}


def entry(call: Attempt, facts: Facts) -> dict[str, Any]:
    """Run an attempt. An error that is not the system's is a fault of the attempt, and counts as reached."""
    try:
        found = call(facts)
    except OSError as error:
        number = errno.errorcode.get(error.errno or 0, str(error.errno))
        return {"reached": None, "error": f"{number}: {error.strerror}"}
    except Exception as error:  # noqa: BLE001 -- a broken attempt must not look like a refused one
        return {"reached": f"the attempt is broken: {error!r}", "error": None}
    return {"reached": repr(found) if found else None, "error": None if found else "nothing was found"}


def main(facts: str, results: str) -> None:
    """Make all attempts, and wait for the end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ["HOSTILE_PID"] = str(os.getpid())
    known = json.loads(Path(facts).read_text("utf-8"))
    began, names = time.monotonic(), known.get("only") or ATTEMPTS
    found: dict[str, Any] = {name: tried(ATTEMPTS[name], known) for name in names}
    if not known.get("only"):
        found["works"] = works()
    found["seconds"] = round(time.monotonic() - began, 2)
    part = Path(f"{results}.part")
    part.write_text(json.dumps(found, indent=1), "utf-8")
    part.rename(results)
    while stat.S_ISFIFO(os.fstat(0).st_mode) and os.read(0, 1):
        pass  # the lifeline of a process
    if not stat.S_ISFIFO(os.fstat(0).st_mode) and not known.get("only"):
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:3])
