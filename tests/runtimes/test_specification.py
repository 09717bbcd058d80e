from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from attrs import evolve

from nanoclaw.records import SessionPaths
from nanoclaw.records.network import NetworkRule
from nanoclaw.runtimes import Limits, Mount, Packages, RunnerSpec, StartFailed
from nanoclaw.runtimes.process import ProcessRuntime

SPEC = RunnerSpec("sess-1", SessionPaths(Path("/data/s")), Path("/groups/main/workspace"), "echo", {})
ASKED: dict[str, Any] = {
    "image": "agent:1",
    "mounts": (Mount(Path("/srv"), PurePosixPath("/srv")),),
    "user": 1000,
    "limits": Limits(memory_bytes=2**30),
    "network": NetworkRule("none"),
    "packages": Packages(pip=("rich",)),
}


def test_its_mounts_are_the_contract_s_and_those_that_were_granted() -> None:
    spec = evolve(SPEC, shared=Path("/groups/global/workspace"), mounts=ASKED["mounts"])
    assert [(str(each.source), str(each.target), each.read_only) for each in spec.all_mounts] == [
        ("/data/s/outbound", "/workspace", False),
        ("/data/s/inbound", "/workspace/in", True),
        ("/groups/main/workspace", "/workspace/agent", False),
        ("/data/s/gateway", "/workspace/gateway", True),
        ("/groups/global/workspace", "/workspace/global", True),
        ("/srv", "/srv", True),
    ]


def test_its_fingerprint_is_that_of_what_a_container_is_made_of() -> None:
    asked = {**ASKED, "web": True}
    del asked["network"]  # the gateway enforces it, and may change it while a container lives
    others = [evolve(SPEC, **{part: value}) for part, value in asked.items()]
    others += [evolve(SPEC, provider="other"), evolve(SPEC, command=("x",)), evolve(SPEC, shared=Path("/g"))]
    assert len({spec.fingerprint for spec in (SPEC, *others)}) == len(others) + 1
    assert evolve(SPEC, environment={"NANOCLAW_ADMIN_USER_IDS": "tg:1"}).fingerprint == SPEC.fingerprint


@pytest.mark.parametrize("part", ASKED)
async def test_the_process_runtime_refuses_what_it_cannot_isolate(tmp_path: Path, part: str) -> None:
    spec = evolve(SPEC, workspace=tmp_path, **{part: ASKED[part]})
    with pytest.raises(StartFailed, match=rf"isolates nothing, so it cannot honour {part} of the agent's"):
        await ProcessRuntime(command=("true",)).run(spec)
    assert (await ProcessRuntime(command=("true",)).run(evolve(spec, **{part: getattr(SPEC, part)}))).orderly


async def test_the_process_runtime_starts_the_command_of_a_specification(tmp_path: Path) -> None:
    spec = evolve(SPEC, workspace=tmp_path, network=NetworkRule("open"), command=("sh", "-c", "exit 7"))
    assert (await ProcessRuntime().run(spec)).reason == "the runner ended with status 7"
