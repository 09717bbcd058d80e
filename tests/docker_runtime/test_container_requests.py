"""The requests to an engine, by its kind and the agent's specification. No engine is needed."""

import os
from pathlib import Path

import pytest
from attrs import evolve

from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import Limits, Mount, RunnerSpec
from nanoclaw.runtimes.docker.container import ContainerSpec, EngineKind, resolved
from nanoclaw.runtimes.protocol import WORKSPACE

SPEC = RunnerSpec("sess-1", SessionPaths(Path("/data/sess-1")), Path("/agent"), "echo", {"TZ": "UTC"})


def container(spec: RunnerSpec = SPEC, kind: EngineKind | None = None) -> ContainerSpec:
    return ContainerSpec("install-1", resolved(spec, "image:1"), 600.0, kind or EngineKind())


def test_its_name_and_labels_are_those_of_the_contract() -> None:
    assert container().name == "nanoclaw-install-1-sess-1"
    assert container().labels == {
        "nanoclaw.install": "install-1",
        "nanoclaw.session": "sess-1",
        "nanoclaw.spec": resolved(SPEC, "image:1").fingerprint,
    }


def test_another_image_is_another_specification() -> None:
    other = ContainerSpec("install-1", resolved(SPEC, "image:2"), 600.0)
    assert other.labels["nanoclaw.spec"] != container().labels["nanoclaw.spec"]


@pytest.mark.parametrize(
    ("info", "version", "user", "namespace"),
    [
        ({}, {}, None, None),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, {}, "0:0", None),
        (
            {"SecurityOptions": ["name=rootless"]},
            {"Components": [{"Name": "Podman Engine"}]},
            None,
            "keep-id",
        ),
    ],
)
def test_a_rootless_engine_maps_the_hosts_user(
    monkeypatch: pytest.MonkeyPatch,
    info: dict[str, object],
    version: dict[str, object],
    user: str | None,
    namespace: str | None,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1001)
    request = container(kind=EngineKind.of(info, version)).request()
    assert request["User"] == (user or "1000:1001")
    assert request["HostConfig"].get("UsernsMode") == namespace


def test_limits_and_mounts_are_passed_on_and_swap_is_not_given() -> None:
    spec = evolve(
        SPEC,
        limits=Limits(memory_bytes=1 << 30, processes=99, cpus=1.5),
        mounts=(Mount(Path("/srv/data"), WORKSPACE / "data"),),
    )
    host = container(spec).request()["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (1 << 30, 1 << 30, 99)
    assert host["CpuQuota"] / host["CpuPeriod"] == 1.5
    assert [(each["Source"], each["Target"], each["ReadOnly"]) for each in host["Mounts"]] == [
        ("/data/sess-1/outbound", "/workspace", False),
        ("/data/sess-1/inbound", "/workspace/in", True),
        ("/agent", "/workspace/agent", False),
        ("/data/sess-1/gateway", "/workspace/gateway", True),
        ("/srv/data", "/workspace/data", True),
    ]


def test_variables_of_the_sandbox_cannot_be_replaced() -> None:
    spec = evolve(SPEC, environment={"NANOCLAW_SANDBOX": "0", "HOME": "/root", "X": "1"}, gateway=True)
    variables = dict(each.split("=", 1) for each in container(spec).request()["Env"])
    assert variables == {
        "HOME": "/home/agent",
        "NANOCLAW_LIFELINE": "/workspace/gateway/lifeline",
        "NANOCLAW_LIFELINE_S": "600",
        "NANOCLAW_MODEL_SOCKET": "/workspace/gateway/model.sock",
        "NANOCLAW_SANDBOX": "1",
        "X": "1",
    }
