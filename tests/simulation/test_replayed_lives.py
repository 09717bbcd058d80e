"""The replay of each life of the host repeats it, in workloads full of faults."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nanoclaw.recording import Record, Recording, Taken
from nanoclaw.recording.notes import (
    Began,
    Kept,
    Looked,
    Note,
    Recovered,
    RunnerAsked,
    RunnerEnded,
    RunnerRefused,
    RunnerStarted,
)
from nanoclaw.testing import World, simulate
from nanoclaw.testing.replay.script import Script, script_of
from nanoclaw.testing.silent_logs import silent_logs
from nanoclaw.testing.world.channel import Fault
from tests.simulation.recorded_lives import differing, record_lives
from tests.simulation.recordings import notes


@pytest.mark.slow
@pytest.mark.parametrize("seed", [28, 45])
def test_the_replay_of_each_host_life_of_a_workload_matches_its_recording(seed: int, tmp_path: Path) -> None:
    with silent_logs():
        lives = record_lives(seed, tmp_path, hours=3)
        assert lives
        assert list(differing(lives)) == []


# -- special cases --------------------------------------------------------------


def recorded(scenario: Callable[[World, Path], Awaitable[None]], folder: Path) -> Path:
    """Return the recording of a scenario."""
    with silent_logs():
        simulate(lambda world: scenario(world, folder), seed=0)
    return folder


async def a_file_from_before(world: World, folder: Path) -> None:
    ann = world.user("ann")
    world.agent("main", "echo")
    chat = await world.direct(ann)
    workspace = world.home / "groups/main/workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "notes.txt").write_text("milk")
    world.channel.fail("unavailable")
    await ann.says('!send_file {"path": "notes.txt"}')
    await world.sleep(2)
    await world.stop()
    await world.start(record=Record(folder))
    await chat.expect(lambda entry: bool(entry.files))
    await world.stop()


def test_a_file_from_before_the_recording_is_delivered_again(tmp_path: Path) -> None:
    folder = recorded(a_file_from_before, tmp_path / "recording")
    assert any(note["files"] for note in notes(folder, "Asked"))
    assert list(differing([folder])) == []


async def a_break_in_the_middle(world: World, folder: Path) -> None:
    await world.start(record=Record(folder))
    ann = world.user("ann")
    await world.direct(ann)
    world.channel.fail("hang")
    await ann.says("hello")
    await world.sleep(5)
    world.channel.disconnect()
    await world.sleep(60)
    await world.stop()


def test_a_broken_connection_is_recorded_at_the_time_of_the_break(tmp_path: Path) -> None:
    folder = recorded(a_break_in_the_middle, tmp_path / "recording")
    (asked, *_), (broken, *_) = notes(folder, "Asked"), notes(folder, "Disconnected")
    assert broken["took_s"] > 1
    assert broken["at"] - broken["took_s"] - asked["at"] <= 5
    assert list(differing([folder])) == []


async def a_jump_before_it_is_idle(world: World, folder: Path) -> None:
    idle: dict[str, Any] = {"runtime.idle_s": 300.0}
    await world.start(record=Record(folder), **idle)
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")
    await world.sleep(100)
    world.clock.jump(timedelta(hours=-2))
    await world.sleep(300)
    await world.stop()


def test_a_clock_jump_does_not_change_the_age_of_a_heartbeat(tmp_path: Path) -> None:
    folder = recorded(a_jump_before_it_is_idle, tmp_path / "recording")
    assert [round(note["silent_s"]) for note in notes(folder, "RunnerStopping")] == [300]


def script(*later: Note) -> Script:
    began = Began(1, "0", datetime(2026, 1, 1, tzinfo=UTC), {}, ())
    taken = tuple(Taken(float(at), note) for at, note in enumerate((Kept(), *later)))
    return script_of(Recording(Path(), began, taken))


def test_output_after_a_refused_start_belongs_to_no_runner() -> None:
    look = Looked("s", datetime(2026, 1, 1, tzinfo=UTC))
    made = script(RunnerAsked(1, "s", "echo"), look, RunnerRefused(1, "there is no engine"))
    assert [said for _, said in made.orphans] == [look]


def test_a_runner_whose_file_was_recovered_afterwards_leaves_a_journal() -> None:
    born = (RunnerAsked(1, "s", "echo"), RunnerStarted(1))
    died = RunnerEnded(1, orderly=False, reason="killed")
    assert [life.hot for life in script(*born, died).lives["s"]] == [False]
    made = script(*born, died, Recovered("s", "there is no engine"))
    assert [life.hot for life in made.lives["s"]] == [True]
    assert [failed for _, failed in made.recoveries["s"]] == ["there is no engine"]


async def a_faulty_channel(world: World, folder: Path) -> None:
    await world.start(record=Record(folder))
    ann = world.user("ann")
    chat = await world.direct(ann)
    world.channel.in_groups, world.channel.hints_raise = True, ValueError("no hints")
    faults: tuple[Fault, ...] = ("unavailable", "rejected", "crash before", "no receipt")
    for n, fault in enumerate(faults):
        world.channel.fail(fault)
        await ann.says(f"hello {n}")
        await world.sleep(20)
    await chat.expect("echo: hello 3")
    await world.stop()


def test_what_a_channel_raises_in_groups_is_recorded_as_the_host_takes_it(tmp_path: Path) -> None:
    folder = recorded(a_faulty_channel, tmp_path / "recording")
    answers = [note["answer"] for note in notes(folder, "Answered")]
    assert answers == ["unavailable", "receipt", "rejected", "broke", "receipt", "receipt"]
    assert list(differing([folder])) == []
