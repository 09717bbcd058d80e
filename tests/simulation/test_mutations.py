"""Bugs put in on purpose are found: the cheapest here, all by `python -m tests.simulation.mutations`."""

from collections.abc import Sequence

import pytest

from nanoclaw.simulation.checks.access import ACCESS_CHECKS
from nanoclaw.simulation.checks.agent_requests import AGENT_REQUEST_CHECKS
from nanoclaw.simulation.checks.delivery import DELIVERY_CHECKS
from nanoclaw.simulation.checks.placement import PLACEMENT_CHECKS
from nanoclaw.simulation.checks.retries import RETRY_CHECKS, RETRY_CHECKS_AT_REST
from nanoclaw.simulation.checks.schedules import SCHEDULE_CHECKS
from nanoclaw.simulation.quiescence import PROMPTNESS_CHECKS
from nanoclaw.simulation.run import ALL_REST_CHECKS, ALL_STEP_CHECKS
from nanoclaw.simulation.snapshot import Check
from nanoclaw.testing.invariants import ALWAYS, AT_REST
from tests.simulation import mutations
from tests.simulation.mutations import MUTATIONS, found, main

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
    checks = {
        check.__name__
        for check in (*ALWAYS, *AT_REST, *PROMPTNESS_CHECKS, *ALL_STEP_CHECKS, *ALL_REST_CHECKS)
    }
    assert {each.invariant for each in MUTATIONS} <= checks
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS) > len(CHEAPEST)


@pytest.mark.parametrize(
    "checks",
    [
        PROMPTNESS_CHECKS,
        DELIVERY_CHECKS,
        PLACEMENT_CHECKS,
        ACCESS_CHECKS,
        RETRY_CHECKS,
        RETRY_CHECKS_AT_REST,
        AGENT_REQUEST_CHECKS,
        SCHEDULE_CHECKS,
    ],
)
def test_a_mutation_finds_each_of_these_checks(checks: Sequence[Check]) -> None:
    assert {check.__name__ for check in checks} <= {each.invariant for each in MUTATIONS}


def test_words_that_are_in_no_name_are_an_error_that_names_the_bugs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nosuchbug"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "no bug has 'nosuchbug' in its name" in told
    assert CHEAPEST[0] in told


@pytest.mark.parametrize(("invariant", "code"), [("retries_wait", 0), ("", 1)])
def test_the_exit_code_says_whether_all_were_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], invariant: str, code: int
) -> None:
    monkeypatch.setattr(mutations, "found", lambda *_: invariant)
    assert main(["a retry", "not wait"]) == code
    assert capsys.readouterr().out == f"| a retry does not wait | 0 | `{invariant}` |\n"
