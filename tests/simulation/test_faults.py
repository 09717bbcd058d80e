"""Faults with a rate or a point strike there, or the result says that they did not."""

from collections.abc import Iterator
from random import Random
from typing import get_args

import pytest
from attrs import evolve

from nanoclaw.channels.protocol import Repeat
from nanoclaw.simulation.faults import AT_STEPS, NAMES, UnknownFault, draw_strikes, fault_names
from nanoclaw.simulation.network import CodeFault
from nanoclaw.simulation.run import RunResult, run_workload
from nanoclaw.simulation.workload import draw_workload
from nanoclaw.testing.silent_logs import silent_logs

BRIEF_H, BUSY = 0.4, 17


@pytest.fixture(autouse=True)
def nothing_is_logged() -> Iterator[None]:
    with silent_logs():
        yield


def played(faults: str) -> RunResult:
    return run_workload(draw_workload(BUSY, hours=BRIEF_H, faults=fault_names(faults)))


# -- what is drawn -----------------------------------------------------------------


def test_a_custom_rate_changes_only_that_fault() -> None:
    usual = list(draw_strikes(Random(1), fault_names("all"), 50.0, [1.0]))
    more = list(draw_strikes(Random(1), fault_names("all,kill-host=30,io-error=0"), 50.0, [1.0]))
    strange = {"kill-host", "io-error"}
    assert [strike for strike in usual if strike.fault not in strange] == [
        strike for strike in more if strike.fault not in strange
    ]
    assert 1300 < sum(strike.fault == "kill-host" for strike in more) < 1700
    assert not any(strike.fault == "io-error" for strike in more)


def test_all_may_be_combined_with_rates_and_points() -> None:
    faults = fault_names("all, kill-host=20, kill-runner@step:7")
    assert set(faults) == {*NAMES, "kill-host=20", "kill-runner@step:7"} - {"kill-host"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a fault is missing in ''"),
        ("kill-host,", "a fault is missing"),
        ("fire@time:3", "unknown fault 'fire'"),
        ("all,kill-host", "kill-host is part of all"),
        ("none,kill-host", "none cannot be combined"),
        ("kill-host=1,kill-host=2", "kill-host is given twice"),
        ("kill-host=many", "a rate must be a number an hour"),
        ("kill-host=-1", "a rate must be a number an hour"),
        ("kill-host=nan", "a rate must be a number an hour"),
        ("zones=3", "zones is a setting"),
        ("zones@commit:3", "zones is a setting"),
        ("kill-host@", "a point must be commit:N, step:N or time:SECONDS"),
        ("kill-host@noon", "a point must be commit:N, step:N or time:SECONDS"),
        ("kill-host@commit:0", "a commit must be a number from 1"),
        ("kill-host@step:1.5", "a step must be a number from 1"),
        ("channel-late@commit:3", "channel-late cannot strike at a commit; only these can: kill-host"),
        ("io-error@step:3", "io-error cannot strike at a step; only these can: kill-host, kill-runner"),
        ("kill-host@time:-3", "a time must be in seconds from the beginning"),
    ],
)
def test_an_invalid_fault_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(UnknownFault, match=r".*") as error:
        fault_names(text)
    assert words in str(error.value)


# -- what is played ------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        "kill-host",
        "channel-fails",
        "channel-errs",
        "hints-raise",
        "disk-full",
        "clock-jumps",
        "corrupt-inbound",
    ],
)
def test_a_fault_strikes_at_its_given_point_or_reports_why_not(fault: str) -> None:
    result = played(f"{fault}@time:700.5")
    assert result.violations == ()
    if result.strikes:
        assert (result.strikes, result.missed) == ({fault: 1}, ())
        struck = [line.split() for line in result.timeline.lines if f"fault  {fault}" in line]
        assert 700.5 <= float(struck[0][0]) < 702
    else:
        assert result.missed == ((f"{fault}@time:700.5", "there was nothing for it to strike"),)


@pytest.mark.parametrize("fault", AT_STEPS)
@pytest.mark.parametrize("step", [1, 900])
def test_a_kill_strikes_at_the_chosen_step(fault: str, step: int) -> None:
    result = played(f"{fault}@step:{step}")
    assert result.violations == ()
    if fault == "kill-host":
        assert (result.strikes, result.missed, result.restarts) == ({fault: 1}, (), 1)
        assert any("host killed" in line for line in result.timeline.lines)
    else:
        assert result.strikes[fault] + len(result.missed) == 1


def test_a_fault_point_that_is_never_reached_is_reported_and_not_counted() -> None:
    result = played("kill-host@commit:99999,kill-host@commit:1,kill-runner@step:99999999")
    assert (result.violations, result.strikes.total()) == ((), 0)
    missed = dict(result.missed)
    assert missed["kill-host@commit:1"].startswith("the workload had not moved in before commit ")
    assert missed["kill-host@commit:99999"].startswith("it is over after commit ")
    assert missed["kill-runner@step:99999999"].startswith("it is over after step ")


def test_a_host_failure_appears_once_in_the_timeline() -> None:
    result = run_workload(
        draw_workload(0, hours=1.0, faults=fault_names("disk-full=60,stop-host=60,kill-host=60"))
    )
    failed = [line for line in result.timeline.lines if "  host failed  " in line]
    assert failed
    assert len(failed) == len(set(failed))


@pytest.mark.parametrize("fault", ["no-descriptors", "read-error"])
@pytest.mark.parametrize("seed", range(3))
def test_a_passing_error_of_the_system_quarantines_no_session(fault: str, seed: int) -> None:
    result = run_workload(draw_workload(seed, hours=0.5, faults=fault_names(f"{fault}=60")))
    assert (result.violations, result.strikes[fault] > 0) == ((), True)
    assert not [line for line in result.timeline.lines if "quarantine" in line]


@pytest.mark.parametrize("repeat", ["again", "look up"])
def test_the_code_of_a_channel_may_fail_in_every_way(repeat: Repeat) -> None:
    faults = fault_names("channel-errs=120,hints-raise=30")
    workload = draw_workload(3, hours=1.0, faults=faults)
    result = run_workload(evolve(workload, repeat=repeat))
    assert result.violations == ()
    struck = [line for line in result.timeline.lines if "fault  channel-errs" in line]
    assert {kind for kind in get_args(CodeFault) if any(f"  {kind}" in line for line in struck)} == {
        *get_args(CodeFault)
    }
    assert result.strikes["hints-raise"]
    assert not [line for line in result.timeline.lines if "host failed" in line]
