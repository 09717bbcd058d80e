"""The checks of simulated workloads find bugs planted on purpose."""

import pytest

from nanoclaw.simulation.checks import PROMPTNESS_CHECKS, REST_CHECKS, STEP_CHECKS
from tests.simulation import planted_bugs
from tests.simulation.planted_bugs import BUGS, PlantedBug, found, main

MOST = 30


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found_as_what_it_is(bug: PlantedBug) -> None:
    assert bug.check in found(bug, bug.seed)


def test_there_is_one_bug_for_each_class_of_promise() -> None:
    checks = {check.__name__ for check in (*PROMPTNESS_CHECKS, *STEP_CHECKS, *REST_CHECKS)}
    planted = [bug.check for bug in BUGS]
    assert set(planted) <= checks
    assert len(set(planted)) == len(planted) <= MOST


def test_words_that_are_in_no_name_are_an_error_that_names_the_bugs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nosuchbug"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "no bug has 'nosuchbug' in its name" in told
    assert BUGS[0].name in told


@pytest.mark.parametrize(("checks", "code"), [(("retries_wait",), 0), ((), 1)])
def test_the_exit_code_says_whether_all_were_found(
    monkeypatch: pytest.MonkeyPatch, checks: tuple[str, ...], code: int
) -> None:
    monkeypatch.setattr(planted_bugs, "found", lambda *_: checks)
    assert main(["a retry", "not wait"]) == code
