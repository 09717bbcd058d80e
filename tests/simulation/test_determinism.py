import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanoclaw.testing.simulation import simulate
from tests.simulation.rough_day import CHATS, MESSAGES, rough_day

ROOT = Path(__file__).parents[2]


def timeline(seed: int, home: Path) -> str:
    return simulate(rough_day, seed=seed, home=home)[1].text()


def test_one_seed_gives_one_timeline_byte_for_byte(tmp_path: Path) -> None:
    assert timeline(7, tmp_path / "first") == timeline(7, tmp_path / "second")


def test_another_seed_gives_another_timeline(tmp_path: Path) -> None:
    assert timeline(1, tmp_path / "first") != timeline(2, tmp_path / "second")


def test_the_seed_decides_across_processes_and_hash_seeds(tmp_path: Path) -> None:
    def run(hash_seed: str) -> bytes:
        script, home = ROOT / "tests/simulation/rough_day.py", tmp_path / hash_seed
        return subprocess.run(
            [sys.executable, script, "3", home],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
        ).stdout

    assert run("1") == run("2") != b""


@pytest.mark.parametrize("seed", range(10))
def test_a_rough_day_loses_nothing_and_doubles_nothing(seed: int, tmp_path: Path) -> None:
    network, _ = simulate(rough_day, seed=seed, home=tmp_path)
    answered = sorted(outgoing.in_reply_to or "" for outgoing in network.sent)
    assert answered == sorted(
        f"{chat}-{life}-{n}" for chat in CHATS for life in range(2) for n in range(MESSAGES)
    )
