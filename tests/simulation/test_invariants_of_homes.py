"""A home that kept its promises has no violations; each one broken on purpose is found by its own check."""

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from nanoclaw.records import Address, InboundEvent, SessionPaths
from nanoclaw.simulation.checks.messages import nothing_waits_behind_a_journal
from nanoclaw.simulation.snapshot import Snapshot, readable
from nanoclaw.testing import FakeChannel, World, simulate
from nanoclaw.testing.invariants import ALWAYS, AT_REST, Asked, Evidence, opened_once, violations
from nanoclaw.testing.world.hot_journal import leave_hot_journal

Break = Callable[[Evidence], Evidence]


async def talk(world: World) -> tuple[FakeChannel, list[str]]:
    """Produce two answers, a message sent in mid-turn and a task that has run three times."""
    await world.start()
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent("tools", "echo"))
    routed = [
        await ann.says(text)
        for text in (
            "hello",
            '!send_message {"text": "in the middle"}',
            '!schedule_task {"prompt": "again", "recurrence": "@every 60"}',
        )
    ]
    await chat.expect("echo: again", within=100)
    await world.sleep(130)
    with trio.fail_after(60):
        await world.stop()
    return world.channel, [id_ for one in routed for id_ in one.message_ids]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    home = tmp_path_factory.mktemp("kept")
    channel, accepted = simulate(talk, seed=1, home=home)[0]
    asked = tuple(Asked(one.message_out_id, one.address) for one in channel.attempts)
    return Evidence(home / "data", tuple(accepted), asked)


@pytest.fixture
def evidence(kept: Evidence, tmp_path: Path) -> Evidence:
    shutil.copytree(kept.data, tmp_path / "data")
    return evolve(kept, data=tmp_path / "data")


def test_a_home_that_kept_its_promises_has_no_violations(evidence: Evidence) -> None:
    assert len(evidence.asked) == 7
    assert violations(evidence) == []


def test_an_embedder_can_add_its_own_check(evidence: Evidence) -> None:
    def nobody_says_hello(evidence: Evidence) -> Iterable[str]:
        yield f"{evidence.data.name}: hello"

    assert violations(evidence, (*ALWAYS, nobody_says_hello)) == ["nobody_says_hello: data: hello"]


def test_a_check_that_raises_is_named(evidence: Evidence) -> None:
    def raises(_evidence: Evidence) -> Iterable[str]:
        yield from ()
        raise KeyError("x")

    def says_nothing(_evidence: Evidence) -> Any: ...

    def says_a_word(_evidence: Evidence) -> str:
        return "bad"

    one, two, three = violations(evidence, (raises, says_nothing, partial(says_a_word)))
    assert one.startswith("raises: the check itself is broken: KeyError: 'x' (test_invariants_of_homes.py:")
    assert "says_nothing: the check itself is broken: TypeError: it returned None" in two
    assert "says_a_word: the check itself is broken: TypeError: it returned 'bad'" in three


def inbound(sql: str) -> Break:
    return lambda evidence: run(evidence, evidence.sessions()[0].inbound_db, sql)


def outbound(sql: str) -> Break:
    return lambda evidence: run(evidence, evidence.sessions()[0].outbound_db, sql)


def run(evidence: Evidence, file: Path, sql: str) -> Evidence:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        assert connection.execute(sql).rowcount > 0
    return evidence


def rot(evidence: Evidence) -> Evidence:
    """Erase the content of a page of an index."""
    file = evidence.sessions()[0].inbound_db
    with closing(sqlite3.connect(file)) as connection:
        [(page,)] = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'idx_messages_in_slot'"
        )
        [(size,)] = connection.execute("PRAGMA page_size")
    with file.open("r+b") as raw:
        raw.seek((page - 1) * size + size // 2)
        raw.write(b"\xff" * (size // 2))
    return evidence


def swapped(evidence: Evidence) -> Evidence:
    first, *rest = evidence.asked
    return evolve(evidence, asked=(*rest, first))


TASKS = "UPDATE messages_in SET {} WHERE kind = 'task'"
SLOTS = "DROP INDEX idx_messages_in_slot"
BROKEN: list[tuple[str, Break]] = [
    ("databases_are_intact", rot),
    ("numbers_keep_their_parity_and_grow", inbound("UPDATE messages_in SET seq = 7 WHERE seq = 2")),
    ("numbers_keep_their_parity_and_grow", outbound("UPDATE messages_out SET seq = 1001 WHERE rowid = 1")),
    ("marks_are_above_what_was_given", outbound("UPDATE meta SET value = '1' WHERE key = 'seq'")),
    ("marks_are_above_what_was_given", inbound("DELETE FROM meta WHERE key = 'seq'")),
    ("accepted_messages_are_stored", inbound("DELETE FROM messages_in WHERE seq = 2")),
    ("no_message_is_answered_by_two_turns", outbound(
        """
        INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content, turn_id)
        SELECT 'again', seq + 1000, in_reply_to, timestamp, kind, content, 'another'
        FROM messages_out WHERE in_reply_to IS NOT NULL LIMIT 1
        """
    )),
    ("no_message_is_answered_by_two_turns", outbound(
        """
        INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, channel_type, content, turn_id)
        SELECT 'again', one.seq + 1000, one.in_reply_to, one.timestamp, one.kind, 'agent', one.content,
          other.turn_id
        FROM messages_out one JOIN messages_out other ON other.turn_id <> one.turn_id
        WHERE one.in_reply_to IS NOT NULL LIMIT 1
        """
    )),
    ("ledger_agrees_with_itself", inbound("DELETE FROM delivered WHERE rowid = 1")),
    ("ledger_agrees_with_itself", inbound("DELETE FROM deliveries WHERE rowid = 1")),
    ("ledger_agrees_with_itself", inbound("UPDATE deliveries SET attempts = 0 WHERE rowid = 1")),
    ("ledger_agrees_with_itself", inbound("UPDATE delivered SET status = 'sent' WHERE rowid = 1")),
    (
        "attempts_are_recorded_before_the_channel_is_asked",
        lambda evidence: evolve(evidence, asked=(*evidence.asked, evidence.asked[0])),
    ),
    ("series_go_on_or_have_ended", inbound(TASKS.format("status = 'completed'"))),
    ("series_go_on_or_have_ended", inbound(TASKS.format("recurrence = '@daily'"))),
    ("accepted_messages_have_an_outcome", inbound("UPDATE messages_in SET status = 'pending' WHERE seq = 2")),
    ("replies_are_final", outbound(
        """
        INSERT INTO messages_out (id, seq, timestamp, kind, content)
        SELECT 'new', max(seq) + 2, '', 'chat', '{}' FROM messages_out
        """
    )),
    ("replies_keep_their_order", swapped),
    ("replies_keep_their_order", lambda home: evolve(home, asked=(*home.asked, home.asked[0]))),
]  # fmt: skip


@pytest.mark.parametrize(("check", "broken"), BROKEN)
def test_each_broken_promise_is_found_by_its_check(evidence: Evidence, check: str, broken: Break) -> None:
    assert check in {sentence.partition(":")[0] for sentence in violations(broken(evidence))}


def test_a_slot_with_two_rows_is_found(evidence: Evidence) -> None:
    file = evidence.sessions()[0].inbound_db
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(SLOTS)
    inbound(TASKS.format("slot = '2026-01-01T00:00:00.000Z'"))(evidence)
    assert {sentence.partition(":")[0] for sentence in violations(evidence)} == {"slots_are_unique"}


def test_every_check_has_a_failing_example() -> None:
    seen = {name for name, _ in BROKEN} | {"slots_are_unique"}
    assert {check.__name__ for check in (*ALWAYS, *AT_REST)} == seen


def test_a_message_that_is_stored_nowhere_is_reported_as_lost(evidence: Evidence) -> None:
    event = InboundEvent(Address("fake", "x"), "never", None)  # type: ignore[arg-type]  # only its id counts
    lost = evolve(evidence, accepted=(*evidence.accepted, event.message_id))
    assert violations(lost, ALWAYS) == [
        f"accepted_messages_are_stored: accepted, and nowhere: {event.message_id}"
    ]


def waiting(evidence: Evidence) -> tuple[int, list[str]]:
    """Return the number of readable sessions, and the messages that wait behind a journal."""
    paths = tuple(readable(evidence.data, ()))
    return len(paths), list(nothing_waits_behind_a_journal(Snapshot(evidence.data, paths=paths)))


def test_a_journal_that_was_never_synced_does_not_block_the_check(evidence: Evidence) -> None:
    [paths] = evidence.sessions()
    journal = Path(f"{paths.inbound_db}-journal")
    with closing(sqlite3.connect(paths.inbound_db)) as connection:
        connection.execute("UPDATE messages_in SET tries = 4")
        left = journal.read_bytes()
        connection.rollback()
    journal.write_bytes(left)
    assert waiting(evidence) == (1, [])


def test_a_hot_journal_is_allowed_if_no_message_waits_behind_it(evidence: Evidence, tmp_path: Path) -> None:
    [paths] = evidence.sessions()
    leave_hot_journal(paths.inbound_db, tmp_path / "other")
    assert waiting(evidence) == (0, [])


def test_a_message_that_waits_behind_a_hot_journal_is_a_violation(evidence: Evidence, tmp_path: Path) -> None:
    [paths] = evidence.sessions()
    inbound("UPDATE messages_in SET status = 'pending' WHERE seq = 2")(evidence)
    leave_hot_journal(paths.inbound_db, tmp_path / "other")
    assert waiting(evidence) == (0, [f"{paths.root.name}: 1 messages wait behind a hot journal"])
    assert not list(tmp_path.glob("aside*"))


def test_each_session_is_checked_with_its_own_journal(evidence: Evidence, tmp_path: Path) -> None:
    [paths] = evidence.sessions()
    other = SessionPaths(paths.root.with_name("sess-zz"))
    shutil.copytree(paths.root, other.root)
    with closing(sqlite3.connect(other.inbound_db)) as connection, connection:
        connection.execute("UPDATE messages_in SET status = 'pending' WHERE seq = 2")
    for one in (paths, other):
        leave_hot_journal(one.inbound_db, tmp_path / "other")
    with opened_once():
        assert waiting(evidence) == (0, ["sess-zz: 1 messages wait behind a hot journal"])
