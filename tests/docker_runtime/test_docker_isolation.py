"""The things that a program can and cannot do in a container of the docker runtime, seen from inside."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from nanoclaw.runtimes import Limits
from nanoclaw.system.sandbox_user import SANDBOX_UID
from nanoclaw.testing.conformance import make_session
from tests.docker_runtime.docker_homes import GUARD_S
from tests.docker_runtime.serving import PYTHON, served
from tests.engine.fixtures import EngineForTests

PROBE = Path(__file__).with_name("probe_inside.py")
MEMORY, PROCESSES = 128 << 20, 50


@pytest.fixture(scope="module")
def seen(engine: EngineForTests, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the probe saw in one container."""
    home = tmp_path_factory.mktemp("isolation")

    async def probe() -> dict[str, Any]:
        spec = await make_session(home)
        limits = Limits(memory_bytes=MEMORY, processes=PROCESSES, cpus=0.5)
        spec = evolve(spec, command=(*PYTHON, PROBE.read_text("utf-8")), limits=limits)
        with trio.fail_after(GUARD_S):
            async with served(engine, f"isolation-{home.name}") as runtime:
                death = await runtime.run(spec)
        assert death.orderly, death.reason
        found: dict[str, Any] = json.loads((spec.workspace / "seen.json").read_text("utf-8"))
        return found

    return trio.run(probe)


def test_its_user_is_not_root_and_has_no_capabilities(seen: dict[str, Any]) -> None:
    assert seen["uid"] == seen["gid"] == (SANDBOX_UID if os.geteuid() == 0 else os.geteuid())
    assert seen["groups"] in ([], [seen["gid"]])
    assert {seen[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (seen["NoNewPrivs"], seen["Seccomp"]) == ("1", "2")


def test_it_has_no_network(seen: dict[str, Any]) -> None:
    assert seen["interfaces"] == ["lo"]
    assert seen["connect"] == {
        "203.0.113.1": "OSError",
        "169.254.169.254": "OSError",
        "2001:db8::1": "OSError",
    }


def test_it_writes_its_workspace_its_session_and_memory_only(seen: dict[str, Any]) -> None:
    assert seen["writable"] == {
        "/": False,
        "/etc": False,
        "/opt/nanoclaw": False,
        "/usr": False,
        "/workspace": True,
        "/workspace/agent": True,
        "/workspace/in": False,
        "/workspace/gateway": False,
        "/tmp": True,  # noqa: S108 -- of the container
        "/home/agent": True,
        "/proc/sys/kernel": False,
        "/sys": False,
    }
    assert seen["home"] == "/home/agent"
    options = set(seen["mounts"].values())
    assert all({"nosuid", "nodev"} <= set(each.split(",")) for each in options)


def test_its_resources_are_bounded(seen: dict[str, Any]) -> None:
    assert seen["nofile"] == [4096, 4096]
    assert seen["tmp_bytes"] == 64 << 20
    assert seen["forked"] < PROCESSES


@pytest.mark.parametrize(
    "call",
    [
        "ptrace",
        "keyctl",
        "add_key",
        "bpf",
        "io_uring_setup",
        "perf_event_open",
        "userfaultfd",
        "unshare",
        "mount",
        "setns",
        "process_vm_readv",
        "name_to_handle_at",
        "vsock",
        "vsock with high bits",
        "clone into a user namespace",
    ],
)
def test_dangerous_system_calls_are_refused(seen: dict[str, Any], call: str) -> None:
    assert seen["calls"][call] == "EPERM"


def test_it_sees_no_process_device_or_socket_of_the_host(seen: dict[str, Any]) -> None:
    assert seen["pids"] == ["1"]
    assert set(seen["devices"]) <= {
        *(
            "core",
            "fd",
            "full",
            "mqueue",
            "null",
            "ptmx",
            "pts",
            "random",
            "shm",
            "stderr",
            "stdin",
            "stdout",
        ),
        *("tty", "urandom", "zero"),
    }
    assert not seen["engine"]
