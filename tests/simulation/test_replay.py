"""A host with threads, processes and faults is recorded, and its replay does the same."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from nanoclaw.recording import Record
from nanoclaw.session import outcomes
from nanoclaw.session.messages import Messages
from nanoclaw.session.outcomes import Undeliverable
from nanoclaw.store import OperationRefused
from nanoclaw.testing import World, simulate
from nanoclaw.testing.replay import replay
from nanoclaw.testing.silent_logs import silent_logs
from tests.simulation.recordings import changed, notes, record_real_day

pytestmark = pytest.mark.slow
SECRET = b"from before"
"""Words of a user that are in a recorded day."""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a recording once."""
    place = tmp_path_factory.mktemp("day")
    record_real_day(place / "home", place / "recording")
    return place / "recording"


@pytest.fixture(autouse=True)
def silence() -> Any:
    with silent_logs():
        yield


def differing(folder: Path) -> str:
    return "\n".join(replay(folder).differences)


# -- the same ------------------------------------------------------------------


def test_the_recorded_day_contains_every_kind_of_trouble(day: Path) -> None:
    answers = {note["answer"] for note in notes(day, "Answered")}
    left = {status for note in notes(day, "Left") for status in note["messages"].values()}
    assert {"receipt", "unavailable", "broke", "rejected"} <= answers
    assert any(not note["orderly"] for note in notes(day, "RunnerEnded"))
    assert "completed, tries 1" in left
    assert len(notes(day, "Ended")) == 1


def test_a_replayed_host_does_what_the_recorded_one_did(day: Path) -> None:
    replayed = replay(day)
    assert list(replayed.differences) == []
    assert not replayed.torn
    assert [line for line in replayed.timeline if "  asked  " in line]


def test_two_replays_are_identical_byte_for_byte(day: Path) -> None:
    assert replay(day) == replay(day)


def test_a_refused_operation_is_refused_again(tmp_path: Path) -> None:
    nonsense: Any = "emperor"

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        admin = (await world.start(record=Record(tmp_path / "recording"))).admin
        with pytest.raises(OperationRefused):
            await admin.wirings.delete("nobody's")
        with pytest.raises(OperationRefused):  # before the registry is asked, so nothing is recorded
            await admin.roles.grant(ann.id, nonsense, None)
        await admin.roles.grant(ann.id, "owner")
        with pytest.raises(OperationRefused, match="is the only owner"):
            await admin.roles.revoke(ann.id, "owner")
        chat = await world.direct(ann)
        await ann.says("hello")
        await chat.expect("echo: hello")
        await world.stop()

    simulate(scenario, seed=0)
    replayed = replay(tmp_path / "recording")
    assert list(replayed.differences) == []
    assert [line.split()[2] for line in replayed.timeline if "  refused  " in line] == [
        "DeleteWiring",
        "RevokeRole",
    ]


def test_a_redacted_recording_is_replayed_the_same(tmp_path: Path) -> None:
    record_real_day(tmp_path / "home", tmp_path / "recording", redacted=True)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "recording").rglob("*") if file.is_file())
    assert len(notes(tmp_path / "recording", "Asked")) > 5
    assert SECRET not in kept
    assert b"hello" not in kept
    assert differing(tmp_path / "recording") == ""


# -- ids -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_at_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a recording in which two sessions are opened at the same moment.

    With this seed the replay opens them in the recorded order, too.
    """
    folder = tmp_path_factory.mktemp("two") / "recording"

    async def scenario(world: World) -> None:
        await world.start(record=Record(folder))
        users = [world.user("ann"), world.user("bob")]
        chats = [await world.direct(user) for user in users]
        async with trio.open_nursery() as nursery:
            for user in users:
                nursery.start_soon(user.says, f"I am {user.name}")
        for user, chat in zip(users, chats, strict=True):
            await chat.expect(f"echo: I am {user.name}")
        await world.stop()

    simulate(scenario, seed=1)
    return folder


def swapped(lines: list[str]) -> list[str]:
    """Swap the order in which the two sessions are opened."""
    first, second = (n for n, line in enumerate(lines) if '"what": "sess ' in line)
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def without_what(lines: list[str]) -> list[str]:
    """Remove the purpose of each id, as in older recordings."""
    return [re.sub(r', "what": "[^"]*"', "", line) for line in lines]


def test_sessions_opened_at_the_same_time_keep_their_recorded_ids_in_any_order(
    two_at_once: Path, tmp_path: Path
) -> None:
    assert differing(changed(two_at_once, tmp_path / "swapped", swapped)) == ""


def test_an_older_recording_assigns_its_ids_in_order(two_at_once: Path, tmp_path: Path) -> None:
    assert differing(changed(two_at_once, tmp_path / "older", without_what)) == ""
    other = changed(two_at_once, tmp_path / "other", lambda lines: without_what(swapped(lines)))
    assert "now it was stored by" in differing(other)


# -- not the same --------------------------------------------------------------


def gives_up(_delivery: object, reason: str, *_: object) -> Undeliverable:
    return Undeliverable(reason)


MISTAKES: dict[str, tuple[object, str, Callable[..., object], str]] = {
    "a death costs no try": (Messages, "judge_death", lambda *_: (), "completed, tries 1, now it is"),
    "a doubtful message is not repeated": (outcomes, "doubt", gives_up, "the replay has not: deliver"),
    "an unavailable channel is not asked again": (outcomes, "back_off", gives_up, "the replay has not"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_bug_in_the_host_shows_as_a_difference(
    mistake: str, day: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, name, wrong, sentence = MISTAKES[mistake]
    assert hasattr(kind, name)
    monkeypatch.setattr(kind, name, wrong)
    assert sentence in differing(day)


def test_a_different_reply_of_the_agent_shows_as_a_difference(day: Path, tmp_path: Path) -> None:
    def other(lines: list[str]) -> list[str]:
        return [line.replace("echo: down", "echo: up") if '"Looked"' in line else line for line in lines]

    found = differing(changed(day, tmp_path / "other", other))
    assert "the recording has, the replay has not: deliver" in found
    assert '{"text": "echo: down"}' in found
    assert '{"text": "echo: up"}' in found


# -- cut off -------------------------------------------------------------------


@pytest.mark.parametrize("eighths", [1, 3, 5, 7])
def test_the_recording_of_a_killed_host_is_replayed_to_its_end(
    eighths: int, day: Path, tmp_path: Path
) -> None:
    def killed(lines: list[str]) -> list[str]:
        kept = max(len(lines) * eighths // 8, next(n for n, line in enumerate(lines, 1) if '"Kept"' in line))
        return [*lines[:kept], lines[kept][:20]]

    replayed = replay(changed(day, tmp_path / "killed", killed))
    assert replayed.torn
    assert list(replayed.differences) == []
