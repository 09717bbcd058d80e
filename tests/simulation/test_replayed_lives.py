"""Each life of the host in households full of faults is done again by its replay."""

from pathlib import Path

import pytest

from nanoclaw.testing.campaign import quiet
from tests.simulation.recorded_lives import differing, record_lives

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [7, 13, 28, 45, 100, 108])
def test_each_life_of_a_simulated_household_is_replayed_the_same(seed: int, tmp_path: Path) -> None:
    with quiet():
        lives = record_lives(seed, tmp_path, hours=3)
        assert lives
        assert list(differing(lives)) == []
