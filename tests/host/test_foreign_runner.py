"""Runners that are not ours: no attempts, no turns, statuses with suffixes, heartbeats at events."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from nanoclaw.records import Address
from nanoclaw.session.decisions import ReadOutbound, Settle, StopRunner
from nanoclaw.session.events import Looked, RoundBegan, RunnerStarted, Ticked
from nanoclaw.session.messages import UNTAKEN_S, Completed
from nanoclaw.session.needs import BLIND_S, sleep_s
from nanoclaw.session.runner import EVENTS_STUCK_S, STUCK_S
from nanoclaw.session.state import Moment
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import Ack, RunnerKind
from tests.host.homes import rows
from tests.host.sessions import START, Session, look, message
from tests.host.stage import a_stage, row
from tests.host.test_deliveries import acks, says

SYSTEM = OpenMessage("answer-1", 4, 0, None, False, Address("fake", "chat"), None, kind="system")  # noqa: FBT003 -- trigger


def claim(seq: int = 2, at_s: float = 0) -> Ack:
    return Ack(f"in-{seq}", "processing", None, None, None, to_text(START + timedelta(seconds=at_s)))


def seen(*claims: Ack, runner: RunnerKind = "foreign") -> Looked:
    return Looked(evolve(look(acks=claims), runner=runner))


def beat(at_s: float) -> int:
    """Return the heartbeat file's time in nanoseconds."""
    return int((START + timedelta(seconds=at_s)).timestamp() * 1e9)


def running(*messages: OpenMessage) -> Session:
    """Return a session whose runner is up."""
    session = Session.initial(*messages)
    session.meets(RoundBegan(None))
    session.settles(Looked(look()))
    session.meets(Ticked())
    session.meets(RunnerStarted())
    return session


# -- the heartbeat -------------------------------------------------------------------


def stopped_at(session: Session, claimed: Looked, heartbeats: dict[float, float]) -> float | None:
    """Return the time at which the runner is stopped, in steps of 15 s.

    `heartbeats` has the time of the heartbeat file, by the time from which on it is read.
    """
    heartbeat = None
    for at_s in range(0, 4000, 15):
        session.at_s = at_s
        heartbeat = heartbeats.get(at_s, heartbeat)
        session.meets(RoundBegan(None if heartbeat is None else beat(heartbeat)))
        if session.said(StopRunner):
            return at_s
        session.settles(claimed)
    return None


def test_a_foreign_runner_that_has_beaten_since_its_claim_is_spared_for_half_an_hour() -> None:
    assert stopped_at(running(message()), seen(claim()), {15: 5}) == 15 + EVENTS_STUCK_S + 15


def test_a_foreign_runner_that_has_not_beaten_since_its_claim_is_stopped_after_a_minute() -> None:
    assert stopped_at(running(message()), seen(claim()), {0: -1}) == STUCK_S + 15


def test_a_claim_after_the_last_heartbeat_is_not_spared() -> None:
    claims = seen(claim(2), claim(4, at_s=10))
    assert stopped_at(running(message(2), message(4)), claims, {15: 5}) == 15 + STUCK_S + 15


def test_our_runner_which_beats_all_the_time_is_stopped_after_a_minute() -> None:
    assert stopped_at(running(message()), seen(claim(), runner="ours"), {15: 5}) == 15 + STUCK_S + 15


def test_a_claim_after_a_long_rest_has_its_minute() -> None:
    session = running(message(4))
    session.meets(RoundBegan(beat(-1)))
    session.settles(seen(Ack("in-4", "completed", None, None, None)))
    session.state = evolve(session.state, messages=session.state.messages.add([message()]))
    session.at_s = 501
    session.meets(RoundBegan(beat(-1)))
    session.settles(seen(claim(at_s=501)))
    session.at_s = 502
    session.meets(RoundBegan(beat(-1)))
    assert session.said(StopRunner) == []


# -- rows of kind `system` -----------------------------------------------------------


def completed(session: Session, event: Looked) -> list[str]:
    """Return the ids of the messages that this look completes."""
    assert session.meets(RoundBegan(None)) == ReadOutbound()
    step = session.meets(event)
    verdicts = step.settlement.verdicts if isinstance(step, Settle) else ()
    return [each.message.id for each in verdicts if isinstance(each, Completed)]


def woken_in(session: Session) -> float:
    return sleep_s(session.state, Moment(START + timedelta(seconds=session.at_s), session.at_s))


@pytest.mark.parametrize(("runner", "dropped"), [("foreign", [SYSTEM.id]), ("ours", [])])
def test_an_answer_that_a_foreign_runner_leaves_is_completed(runner: RunnerKind, dropped: list[str]) -> None:
    session = running(message(), SYSTEM)
    assert completed(session, seen(claim(), runner=runner)) == []
    session.at_s = UNTAKEN_S
    assert completed(session, seen(claim(), runner=runner)) == dropped


def test_an_answer_that_a_foreign_runner_works_on_is_left_alone() -> None:
    session = running(message(), SYSTEM)
    mine = Ack(SYSTEM.id, "processing", None, None, None)
    assert completed(session, seen(claim(), mine)) == []
    session.at_s = UNTAKEN_S
    assert completed(session, seen(claim(), mine)) == []


def test_the_session_wakes_to_complete_an_answer_that_a_foreign_runner_leaves() -> None:
    session = running(message(), SYSTEM)
    session.at_s = 1
    assert completed(session, seen(claim())) == []
    assert woken_in(session) == UNTAKEN_S
    session.at_s = 12
    assert completed(session, seen(claim())) == []
    assert woken_in(session) == UNTAKEN_S - 11
    session.at_s = 30  # the look fails, or nothing wakes the session in time
    assert session.meets(RoundBegan(None)) == ReadOutbound()
    assert woken_in(session) == BLIND_S


async def test_only_a_request_of_a_turn_is_answered(tmp_path: Path) -> None:
    request = {"kind": "system", "content": '{"action":"schedule_task"}'}
    async with a_stage(tmp_path) as stage:
        stage.writes(
            row(id="foreign", seq=1, **request),
            row(id="ours", seq=3, turn_id="turn-1", **request),
            says("next", 5, None),
        )
        await stage.delivered("next")
    answers = rows(stage.paths().inbound_db, "SELECT id, content FROM messages_in WHERE kind = 'system'")
    assert [id_ for id_, _ in answers] == ["answer-ours"]
    assert {"foreign", "ours"} <= {id_ for id_, (status, _) in stage.ledger().items() if status == "failed"}


async def test_contents_are_compact_because_others_search_them_as_text(tmp_path: Path) -> None:
    prompt = {"action": "schedule_task", "taskId": "task-1", "prompt": "water", "recurrence": "@daily"}
    async with a_stage(tmp_path) as stage:
        stage.writes(
            row(id="bad", kind="system", content='{"action":"explode"}', turn_id="turn-1"),
            row(id="good", seq=3, kind="system", content=json.dumps(prompt), turn_id="turn-1"),
            row(id="nowhere", seq=5, channel_type="fake", platform_id="elsewhere"),
            says("next", 7, None),
        )
        await stage.delivered("next")
    contents = rows(stage.paths().inbound_db, "SELECT content FROM messages_in")
    assert len(contents) == 5
    for (content,) in contents:
        assert content == json.dumps(json.loads(content), ensure_ascii=False, separators=(",", ":"))


# -- suffixes of a status ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        ("completed:partly", "completed"),
        ("failed:quota", "failed"),
        ("script-skip:error", "failed"),
        (":", "failed"),
    ],
)
async def test_a_status_with_a_suffix_settles_its_message(tmp_path: Path, status: str, settled: str) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(acks(stage.messages["bad"], status))
        await stage.details(lambda details: not details.pending)
        await stage.neighbour_goes_on()
    found = rows(stage.paths().inbound_db, "SELECT status FROM messages_in WHERE kind = 'chat'")
    assert found == [(settled,)]
