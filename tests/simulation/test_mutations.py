"""Bugs put in on purpose are found: the cheapest here, all by `python -m tests.simulation.mutations`."""

from collections.abc import Sequence

import pytest

from nanoclaw.testing.arrivals import ARRIVALS
from nanoclaw.testing.hearing import HEARING
from nanoclaw.testing.invariants import ALWAYS, AT_REST
from nanoclaw.testing.play import ALL_STEP_CHECKS
from nanoclaw.testing.quiet import QUIET_CHECKS
from nanoclaw.testing.scene import REST_CHECKS, Check
from nanoclaw.testing.timetables import TIMETABLES
from tests.simulation.mutations import MUTATIONS, found

CHEAPEST = (
    "a message is confirmed and not stored",
    "a retry does not wait",
    "strangers are let in everywhere",
    "texts are cut at six characters",
    "a task is cancelled in words only",
    "every seventh wake-up of a runner is lost",
)
SEEDS = 3


@pytest.mark.parametrize("name", CHEAPEST)
def test_a_mutation_is_found_as_what_it_is(name: str) -> None:
    [mutation] = [each for each in MUTATIONS if each.name == name]
    seeds = range(mutation.seed, mutation.seed + SEEDS)
    assert mutation.invariant in (found(mutation, seed) for seed in seeds)


def test_each_mutation_has_a_name_and_an_invariant_that_there_is() -> None:
    checks = {check.__name__ for check in (*ALWAYS, *AT_REST, *QUIET_CHECKS, *ALL_STEP_CHECKS, *REST_CHECKS)}
    assert {each.invariant for each in MUTATIONS} <= checks
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS) > len(CHEAPEST)


@pytest.mark.parametrize("checks", [QUIET_CHECKS, ARRIVALS, HEARING, TIMETABLES])
def test_a_mutation_finds_each_of_these_checks(checks: Sequence[Check]) -> None:
    assert {check.__name__ for check in checks} <= {each.invariant for each in MUTATIONS}
