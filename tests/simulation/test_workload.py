"""Workloads: drawn from the seed alone, the same every time, unbroken by every fault."""

from collections.abc import Iterator, Sequence
from random import Random

import pytest
from attrs import evolve

from nanoclaw.simulation.faults import (
    AT_COMMITS,
    RATES,
    Strike,
    draw_strikes,
    fault_names,
)
from nanoclaw.simulation.run import run_workload
from nanoclaw.simulation.shrink import shortest
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.simulation.workload import VISITORS, Say, Workload, draw_workload
from nanoclaw.testing.silent_logs import silent_logs

BRIEF_H, BUSY = 0.4, 17
ALL = fault_names("all")


@pytest.fixture(autouse=True)
def nothing_is_logged() -> Iterator[None]:
    with silent_logs():
        yield


def says(one: Workload) -> list[Say]:
    return [step for step in one.steps if isinstance(step, Say)]


def struck(one: Workload, *strikes: Strike) -> Workload:
    return evolve(one, steps=tuple(sorted((*one.steps, *strikes), key=lambda step: step.at)))


# -- drawing workloads -------------------------------------------------------------


def test_faults_do_not_change_what_users_say() -> None:
    assert says(draw_workload(5, faults=ALL)) == says(draw_workload(5))


def test_removing_one_fault_leaves_the_others_unchanged() -> None:
    def drawn(names: Sequence[str]) -> list[Strike]:
        return [
            strike for strike in draw_strikes(Random(1), names, 50.0, [1.0]) if strike.fault != "kill-host"
        ]

    assert drawn(ALL) == drawn([name for name in ALL if name != "kill-host"])


def test_a_workload_has_the_requested_number_of_sessions() -> None:
    for seed in range(20):
        chats = draw_workload(seed, sessions=5).chats
        of_agents = {one.agent for one in chats if one.session_mode == "agent-shared"}
        of_chats = [thread for one in chats if one.agent not in of_agents for thread in one.threads]
        assert len(of_agents) + len(of_chats) == 5
        assert len({planned.name for planned in chats}) == len(chats)


def test_unknown_users_in_groups_do_not_change_what_others_say() -> None:
    one = draw_workload(5, faults=ALL)
    assert {say.user for say in says(one)} & set(VISITORS)
    assert not {name for planned in one.chats for name in planned.users} & set(VISITORS)
    texts = [say.text.split()[0] for say in says(one) if say.user not in VISITORS and not say.instead_of]
    assert sorted(texts, key=lambda text: int(text[1:])) == [f"#{n + 1}" for n in range(len(texts))]


# -- playing workloads ------------------------------------------------------------


def test_an_hour_without_faults_breaks_no_check_and_every_message_is_answered() -> None:
    one = draw_workload(1, hours=1.0)
    result = run_workload(one)
    assert (result.violations, result.strikes.total()) == ((), 0)
    assert result.messages == len(says(one)) > 0
    assert result.deliveries >= len([say for say in says(one) if say.user not in VISITORS])


@pytest.mark.parametrize("fault", RATES)
def test_each_fault_strikes_and_breaks_no_check(fault: str) -> None:
    one = draw_workload(BUSY, hours=BRIEF_H).cut(8)
    moments = [say.at for say in says(one)]
    result = run_workload(struck(one, *(Strike(at + 0.1, fault, n) for n, at in enumerate(moments))))
    assert result.violations == ()
    assert 0 < result.strikes[fault] == result.strikes.total() <= len(moments)
    assert any(f"fault  {fault}" in line for line in result.timeline.lines)


@pytest.mark.parametrize("fault", AT_COMMITS)
@pytest.mark.parametrize("commit", [67])
def test_a_fault_strikes_at_the_chosen_commit(fault: str, commit: int) -> None:
    faults = fault_names(f"{fault}@commit:{commit}")
    result = run_workload(draw_workload(BUSY, hours=BRIEF_H, faults=faults))
    assert result.violations == ()
    lines = [line.split() for line in result.timeline.lines]
    before = next(n for n, words in enumerate(lines) if words[1:3] == ["commit", str(commit - 1)])
    assert any(words[1:3] == ["fault", fault] for words in lines[before : before + 4])


# -- finding violations -------------------------------------------------------------


def four_are_too_many(snapshot: Snapshot) -> Iterator[str]:
    heard = {one.event.message_id for one in snapshot.confirmed}
    if len(heard) >= 4:
        yield f"{len(heard)} messages"


def test_a_violated_embedder_check_ends_the_day_and_is_shrunk_to_the_shortest_beginning() -> None:
    one = draw_workload(1, hours=6.0)
    result = shortest(one, (four_are_too_many,))
    assert result is not None
    assert [violation.invariant for violation in result.violations] == ["four_are_too_many"]
    assert result.steps == 4
    assert "violation  four_are_too_many" in result.timeline.text()
