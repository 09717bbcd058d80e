"""One seed, one timeline: in one process and across processes."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from trio._core import _run as trios

from nanoclaw.simulation.faults import fault_names
from nanoclaw.simulation.run import run_workload
from nanoclaw.simulation.workload import draw_workload
from nanoclaw.testing import FakeChannel, World, simulate
from nanoclaw.testing.silent_logs import silent_logs
from tests.simulation.rough_day import rough_day

ROOT = Path(__file__).parents[2]
MODELLED = 4
"""In this workload all agents ask a model."""
SEEDS = [str(seed) for seed in range(4)]
"""In each there is what a hash could order: tasks of three chats, a kill, a network that fails."""


def timeline(seed: int) -> str:
    return simulate(rough_day, seed=seed, channel=FakeChannel(repeat="idempotent"))[1].text()


def test_the_same_seed_gives_the_same_timeline_byte_for_byte() -> None:
    assert timeline(7) == timeline(7)


def test_a_different_seed_gives_a_different_timeline() -> None:
    assert timeline(1) != timeline(2)


def trios_randomness() -> tuple[bool, object]:
    return trios._ALLOW_DETERMINISTIC_SCHEDULING, trios._r


def test_worlds_in_two_threads_do_not_affect_each_other_s_order() -> None:
    before, alone = trios_randomness(), [timeline(1), timeline(2)]
    together = Barrier(2)

    async def beside(world: World) -> None:
        together.wait(60)
        await rough_day(world)
        together.wait(60)

    def play(seed: int) -> str:
        network = FakeChannel(repeat="idempotent")
        return simulate(beside, seed=seed, channel=network, allowed=[__name__])[1].text()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(play, (1, 2))) == alone
    assert trios_randomness() == before


def modelled(seed: int) -> str:
    with silent_logs():
        workload = draw_workload(seed, hours=1.0, faults=fault_names("all"))
        return run_workload(workload).timeline.text()


def test_a_workload_whose_agents_ask_a_model_is_the_same_each_time() -> None:
    first = modelled(MODELLED)
    assert "  calls send_message" in first
    assert modelled(MODELLED) == first


@pytest.mark.slow
def test_such_a_workload_depends_only_on_the_seed_across_hash_seeds(tmp_path: Path) -> None:
    def drawn(hash_seed: str) -> bytes:
        file = tmp_path / f"{hash_seed}.html"
        arguments = ["simulate", "--seed", str(MODELLED), "--days", "0.04", "--timeline", str(file)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run(
            [sys.executable, "-m", "nanoclaw", *arguments], env=environment, check=True, timeout=300
        )
        return file.read_bytes()

    assert drawn("1") == drawn("2")


@pytest.mark.slow
def test_the_timeline_depends_only_on_the_seed_across_processes_and_hash_seeds() -> None:
    def start(hash_seed: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "tests/simulation/rough_day.py"), *SEEDS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'container'}"},
            stdout=subprocess.PIPE,
        )

    with start("1") as first, start("2") as second:
        texts = [process.communicate(timeout=600)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert texts[0] == texts[1]
    assert texts[0].count(b"host killed") == len(SEEDS)
