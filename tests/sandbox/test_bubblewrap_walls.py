"""The view of a program inside a sandbox: no more than its session, as nobody, without a network."""
# Probes run inside: they import what they need by themselves.
# ruff: noqa: PLC0415

import errno
import os
import platform
from pathlib import Path
from typing import Any

import pytest

from nanoclaw.runtimes.bubblewrap.seccomp import ARCHITECTURES, NEWEST
from nanoclaw.runtimes.denied_calls import DENIED
from nanoclaw.system.sandbox_user import SANDBOX_UID
from tests.sandbox.probe import FOUND, found_inside, probed

pytestmark = pytest.mark.slow


async def test_a_program_has_no_rights(tmp_path: Path) -> None:
    def probe() -> Any:
        import os

        fields = (line.partition(":\t") for line in Path("/proc/self/status").read_text().splitlines())
        status = {name: value for name, _, value in fields}
        names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
        ids = [os.getuid(), os.getgid()]
        return ids, {name: status[name] for name in names}

    ids, status = await found_inside(tmp_path, probe)
    assert ids == [10001, 10001]
    assert (status.pop("NoNewPrivs"), status.pop("Seccomp")) == ("1", "2")
    assert {int(value, 16) for value in status.values()} == {0}


async def test_its_files_belong_to_no_root(tmp_path: Path) -> None:
    def probe() -> Any:
        return None

    spec, _ = await probed(tmp_path, probe)
    owner = (spec.workspace / FOUND).stat().st_uid
    assert owner == (SANDBOX_UID if os.geteuid() == 0 else os.geteuid())


async def test_a_program_sees_its_session_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")

    def probe(home: str, listed: list[str]) -> Any:
        def names(folder: str) -> list[str]:
            return sorted(each.name for each in Path(folder).iterdir())

        places = {place: names(place) for place in listed}
        processes = [name for name in names("/proc") if name.isdecimal()]
        return places, processes, Path(home).exists(), str(Path.cwd())

    listed = ["/", "/workspace", "/etc", "/tmp", "/home/agent"]  # noqa: S108 -- inside
    places, processes, sees_host, folder = await found_inside(tmp_path, probe, str(tmp_path), listed)
    assert set(places["/workspace"]) == {"agent", "in", "outbound.db", "outbox"}
    assert {"shadow", "machine-id", "hostname", "resolv.conf"}.isdisjoint(places["/etc"])
    assert {"home", "tmp", "usr", "workspace"} <= set(places["/"])
    assert {"boot", "mnt", "run", "srv", "sys"}.isdisjoint(places["/"])
    assert places[listed[3]] == places["/home/agent"] == []
    assert len(processes) <= 3
    assert not sees_host
    assert folder == "/workspace/agent"


async def test_a_program_writes_its_own_places_alone(tmp_path: Path) -> None:
    def probe(places: list[str]) -> Any:
        def can_write(folder: str) -> bool:
            try:
                Path(folder, "written").write_text("")
            except OSError:
                return False
            return True

        return [place for place in places if can_write(place)]

    own = ["/workspace", "/workspace/agent", "/tmp", "/var/tmp", "/dev/shm", "/home/agent"]  # noqa: S108 -- inside
    others = ["/", "/usr", "/etc", "/opt/nanoclaw", "/workspace/in", "/dev", "/proc/sys/kernel", "/home"]
    assert await found_inside(tmp_path, probe, [*own, *others]) == own


async def test_a_program_has_the_variables_of_the_contract_and_no_others_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")

    def probe() -> Any:
        import os

        return dict(os.environ)

    variables = await found_inside(tmp_path, probe)
    assert variables["NANOCLAW_SANDBOX"] == "1"
    assert variables["NANOCLAW_LIFELINE"] == "stdin"
    assert variables["SESSION_OUTBOUND_DB_PATH"] == "/workspace/outbound.db"
    assert variables["SESSION_INBOUND_DB_PATH"] == "/workspace/in/inbound.db"
    assert variables["NANOCLAW_WORKSPACE"] == "/workspace/agent"
    assert "SECRET_OF_THE_HOST" not in variables
    assert "NANOCLAW_MODEL_SOCKET" not in variables


async def test_a_program_reaches_no_network(tmp_path: Path) -> None:
    def probe() -> Any:
        import socket

        def tried(call: Any) -> str:
            try:
                call()
            except OSError as error:
                return error.strerror or str(error)
            return "works"

        return [
            tried(lambda: socket.create_connection(("1.1.1.1", 53), 1)),
            tried(lambda: socket.create_connection(("2606:4700:4700::1111", 53), 1)),
            tried(lambda: socket.getaddrinfo("example.org", 80)),
            [name for _, name in socket.if_nameindex()],
        ]

    *attempts, interfaces = await found_inside(tmp_path, probe)
    assert "works" not in attempts
    assert interfaces == ["lo"]


async def test_refused_calls_fail(tmp_path: Path) -> None:
    arch = ARCHITECTURES[platform.machine()]
    found = {name: column[arch.column] for name, column in DENIED.items()}
    numbers = {name: number for name, number in found.items() if number is not None}

    def probe(calls: dict[str, int], clone3: int, newest: int) -> Any:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)

        def error(number: int) -> int:
            ctypes.set_errno(0)
            return ctypes.get_errno() if libc.syscall(number, 0, 0, 0, 0, 0, 0) == -1 else 0

        return {name: error(call) for name, call in calls.items()}, error(clone3), error(newest + 1)

    calls = {name: number for name, number in numbers.items() if number is not None}
    refused, clone3, newer = await found_inside(tmp_path, probe, calls, arch.clone3, NEWEST)
    assert {name: error for name, error in refused.items() if error != errno.EPERM} == {}
    assert (clone3, newer) == (errno.ENOSYS, errno.ENOSYS)


async def test_calls_that_make_namespaces_vsocks_or_input_fail_by_their_arguments(tmp_path: Path) -> None:
    def probe() -> Any:
        import fcntl
        import os
        import pty
        import socket

        def error(call: Any) -> int:
            try:
                call()
            except OSError as failed:
                return failed.errno or -1
            return 0

        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)

        def cloned() -> None:
            if libc.syscall(56 if os.uname().machine == "x86_64" else 220, 0x10000000 | 17, 0, 0, 0, 0) == -1:
                raise OSError(ctypes.get_errno(), "clone")

        _, terminal = pty.openpty()
        return {
            "new user namespace": error(cloned),
            "vsock": error(lambda: socket.socket(40, socket.SOCK_STREAM)),
            "packet": error(lambda: socket.socket(17, socket.SOCK_RAW)),
            "kernel crypto": error(lambda: socket.socket(38, socket.SOCK_SEQPACKET)),
            "typing": error(lambda: fcntl.ioctl(terminal, 0x5412, b"x")),
            "typing with a high half": error(lambda: fcntl.ioctl(terminal, 0x5412 - (1 << 32), b"x")),
            "unix": error(socket.socketpair),
            "inet": error(socket.socket),
            "inet6": error(lambda: socket.socket(socket.AF_INET6)),
            "netlink": error(lambda: socket.socket(16, socket.SOCK_RAW, 0)),
            "fork": error(lambda: os.waitpid(os.fork() or os._exit(0), 0)),
        }

    found = await found_inside(tmp_path, probe)
    works = ["unix", "inet", "inet6", "netlink", "fork"]
    assert [found.pop(name) for name in works] == [0] * len(works)
    assert set(found.values()) == {errno.EPERM}, found
