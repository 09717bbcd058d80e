"""The bounds of a sandbox under bubblewrap: in control groups, and without any."""
# Probes run inside: they import what they need by themselves.
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from nanoclaw.runtimes import Limits, StartFailed
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime
from nanoclaw.runtimes.bubblewrap.groups import name_of
from nanoclaw.runtimes.bubblewrap.limits import Means, limits_in_force, process_limits
from tests.sandbox.needed import need_bubblewrap, ready_bubblewrap
from tests.sandbox.probe import found_inside, probed

MIB = 1 << 20
LIMITS = Limits(memory_bytes=256 * MIB, processes=40, cpus=1.5)


def without_groups() -> BubblewrapRuntime:
    runtime = BubblewrapRuntime(grace_s=0.5)
    runtime._ready = evolve(ready_bubblewrap(), maker=None)
    return runtime


def with_groups() -> BubblewrapRuntime:
    if ready_bubblewrap().maker is None:
        pytest.skip("NO CONTROL GROUP IS TESTED: this user may make none here")
    return BubblewrapRuntime(grace_s=0.5)


def fork_bomb() -> Any:
    import os
    import time

    children = 0
    while children < 1000:
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        except OSError:
            break
        children += 1
    return children


def memory_hog(size: int) -> Any:
    held = list[bytes]()
    try:
        held += [b"x" * (1 << 24) for _ in range(size >> 24)]
    except MemoryError:
        return "refused"
    return "had it all"


def groups_named(name: str) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/{name}"))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [with_groups, without_groups])
async def test_a_fork_bomb_is_bounded(tmp_path: Path, runtime: Any) -> None:
    need_bubblewrap()
    children = await found_inside(tmp_path, fork_bomb, runtime=runtime(), limits=LIMITS)
    assert 10 < children < 40


@pytest.mark.slow
async def test_memory_is_bounded_for_a_whole_sandbox_by_its_group(tmp_path: Path) -> None:
    need_bubblewrap()
    spec, death = await probed(tmp_path, memory_hog, 512 * MIB, runtime=with_groups(), limits=LIMITS)
    assert death.reason.startswith("its sandbox used up the memory of 256 MiB"), death
    assert not death.orderly
    assert groups_named(name_of(spec.paths.outbound_dir)) == []


@pytest.mark.slow
async def test_memory_that_is_too_little_for_a_start_is_named(tmp_path: Path) -> None:
    need_bubblewrap()
    with pytest.raises(StartFailed, match="the memory of 4 MiB is too little"):
        await probed(
            tmp_path, memory_hog, 0, runtime=with_groups(), limits=evolve(LIMITS, memory_bytes=4 * MIB)
        )


@pytest.mark.slow
async def test_memory_is_bounded_for_each_process_without_groups(tmp_path: Path) -> None:
    need_bubblewrap()
    found = await found_inside(tmp_path, memory_hog, 512 * MIB, runtime=without_groups(), limits=LIMITS)
    assert found == "refused"


@pytest.mark.slow
async def test_scratch_folders_are_bounded(tmp_path: Path) -> None:
    def probe() -> Any:
        import os

        places = ("/tmp", "/home/agent", "/dev/shm")  # noqa: S108 -- inside
        return [os.statvfs(place).f_blocks * os.statvfs(place).f_frsize for place in places]

    runtime = BubblewrapRuntime()
    runtime.config = evolve(runtime.config, scratch=8 * MIB)
    assert await found_inside(tmp_path, probe, runtime=runtime) == [8 * MIB] * 3


def test_what_is_in_force_is_said() -> None:
    covered = Means("a control group", frozenset({"memory", "processes", "cpus"}))
    assert limits_in_force(LIMITS, covered) == {
        "memory": "256 MiB, by a control group",
        "processes": "40, by a control group",
        "cpus": "1.5, by a control group",
    }
    alone = limits_in_force(LIMITS, Means())
    assert alone["memory"] == "256 MiB, for each process: there is no control group for sandboxes"
    assert alone["cpus"] == "not bounded: 1.5 needs a control group"
    assert set(limits_in_force(Limits(), Means()).values()) == {"not bounded"}


def test_a_process_is_bounded_where_no_group_is() -> None:
    memory = Means("a group", frozenset({"memory"}))
    assert "NPROC=40:40" in process_limits(LIMITS, memory.covers)
    assert "DATA" not in process_limits(LIMITS, memory.covers)
    assert "DATA=268435456:268435456" in process_limits(LIMITS, frozenset())
