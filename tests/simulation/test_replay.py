"""What a host of threads and processes does in trouble is recorded, and done again in a simulation."""

from pathlib import Path

import pytest

from nanoclaw.testing.replay import replay
from tests.simulation.recordings import notes, record_real_day

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording, made once."""
    place = tmp_path_factory.mktemp("day")
    record_real_day(place / "home", place / "recording")
    return place / "recording"


def test_a_recorded_day_has_all_its_trouble(day: Path) -> None:
    answers = {note["answer"] for note in notes(day, "Answered")}
    assert {"receipt", "unavailable", "broke", "rejected"} <= answers
    assert any(not note["orderly"] for note in notes(day, "RunnerEnded"))
    assert "completed, tries 1" in {status for note in notes(day, "Left") for status in note["messages"].values()}
    assert len(notes(day, "Ended")) == 1


def test_a_replayed_host_does_what_the_recorded_one_did(day: Path) -> None:
    replayed = replay(day)
    assert list(replayed.differences) == []
    assert not replayed.torn


def test_two_replays_are_the_same_to_the_byte(day: Path) -> None:
    assert replay(day) == replay(day)
