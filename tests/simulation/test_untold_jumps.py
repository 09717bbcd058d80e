"""A commit of the host tells a runner of a jump of the date. If that commit fails, the host repeats it."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from nanoclaw.session import actor
from nanoclaw.simulation.faults import Point, Strike
from nanoclaw.simulation.run import RunResult, run_workload
from nanoclaw.simulation.workload import Say, Workload, draw_workload
from nanoclaw.testing import World
from nanoclaw.testing.silent_logs import silent_logs
from nanoclaw.testing.world.executor import When

FAR_AHEAD = 2
"""A draw that moves the date ahead by 10,167 s."""


@pytest.fixture(autouse=True)
def nothing_is_logged() -> Iterator[None]:
    with silent_logs():
        yield


def a_task_and_a_jump() -> Workload:
    """Return a workload in which a jump makes a task due while its runner is idle."""
    drawn = draw_workload(1)
    chat = drawn.chats[0]
    say = Say(10.0, chat.users[0], chat.name, None, "#1 once=3600", mention=True)
    jump = Strike(100.0, "clock-jumps", FAR_AHEAD, Point("time", 100.0))
    return evolve(drawn, steps=(say, jump), modelled=frozenset(), settings={})


def fill_the_disk_at_the_jump(world: World) -> None:
    """Fail the first commit to an inbound file after the jump."""
    jumped = list[object]()

    def note(event: str, details: tuple[object, ...]) -> None:
        if event == "fault" and details[0] == "clock-jumps":
            jumped.append(details[1])

    def fail(path: Path, when: When, n: int) -> None:
        del n
        if jumped and when == "before" and path.name == "inbound.db":
            jumped.clear()
            world.timeline.add("fault", "disk-full", path.parents[1].name, path.name)
            raise apsw.FullError("FullError: database or disk is full")

    world.timeline.steps.append(note)
    world.commit_hooks.append(fail)


def played() -> RunResult:
    result = run_workload(a_task_and_a_jump(), alter=fill_the_disk_at_the_jump)
    assert sum(" disk-full " in line for line in result.timeline.events()) == 1
    assert "+10167 s" in result.timeline.text()
    return result


def test_a_runner_that_is_told_again_has_not_missed_the_jump() -> None:
    assert played().violations == ()


def test_a_runner_that_is_not_told_again_leaves_its_work_unclaimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "REFRESH_AGAIN_S", 1e9)
    assert [each.invariant for each in played().violations] == ["due_work_is_claimed_at_once"]
