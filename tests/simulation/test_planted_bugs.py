"""The checks of simulated workloads find bugs planted on purpose."""

import pytest

from nanoclaw.simulation.checks import PROMPTNESS_CHECKS, REST_CHECKS, STEP_CHECKS
from tests.simulation.planted_bugs import BUGS, PlantedBug, found

MOST = 41


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_each_planted_bug_is_found_by_the_expected_check(bug: PlantedBug) -> None:
    assert bug.check in found(bug)


def test_each_class_of_promise_has_a_planted_bug() -> None:
    checks = {check.__name__ for check in (*PROMPTNESS_CHECKS, *STEP_CHECKS, *REST_CHECKS)}
    planted = [bug.check for bug in BUGS]
    assert set(planted) <= checks
    assert len(set(planted)) == len(planted) <= MOST
