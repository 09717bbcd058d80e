"""Pruning of outbound.db by the runner (contract 4, Pruning)."""

import json
from collections.abc import Iterable
from contextlib import closing
from itertools import pairwise

import apsw
import pytest
import trio
from attrs import evolve

from agent_runner import pruning
from agent_runner.config import RunnerConfig
from agent_runner.pruning import BATCH, Pruner
from agent_runner.session import open_session
from tests.runner.world import Listener, World, at, of

HOUR = 3600
DAY = 86_400
OLD = at(-8 * DAY)
YOUNG = at(-6 * DAY)


def ack(world: World, message_id: str, when: str = OLD, status: str = "completed", turn: str = "t") -> None:
    with world.outbound() as connection:
        connection.execute(
            "INSERT INTO processing_ack VALUES (?, ?, ?, 0, NULL, NULL, ?)", (message_id, status, when, turn)
        )


def sent(world: World, id_: str, seq: int, when: str = OLD, **columns: object) -> str:
    """Add a sent message. By default the host has recorded its delivery."""
    delivered_at = columns.pop("delivered_at", when)
    row = {"id": id_, "seq": seq, "kind": "chat", "timestamp": when, "content": "{}", **columns}
    with world.outbound() as connection:
        marks = ", ".join("?" for _ in row)
        connection.execute(
            f"INSERT INTO messages_out ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 -- names of this file
            tuple(row.values()),
        )
    if delivered_at is not None:
        world.host("INSERT INTO delivered VALUES (?, 'p', 'delivered', ?, NULL, NULL)", id_, delivered_at)
    return id_


async def prune(world: World, *, keep_acks: float = 7 * DAY, keep_messages: float = 7 * DAY) -> int:
    """Prune once, to the end. Return the number of commits."""
    config = evolve(world.config, keep_acks=keep_acks, keep_messages=keep_messages)
    async with open_session(config, world.seams(Listener())) as session:
        before, pruner = world.executor.commits, Pruner(session)
        while await pruner.step():
            pass
        return world.executor.commits - before


def left(world: World) -> tuple[list[object], list[object]]:
    """Return the remaining acks and messages."""
    return (
        of(world.out("SELECT message_id FROM processing_ack ORDER BY rowid")),
        of(world.out("SELECT id FROM messages_out ORDER BY seq")),
    )


async def test_an_ack_goes_when_it_is_old_and_its_message_final_or_gone(world: World) -> None:
    for seq, status in enumerate(("completed", "failed", "pending", "paused", "completed"), 1):
        ack(world, world.put(2 * seq, status=status), YOUNG if seq == 5 else OLD)
    ack(world, "in-gone")
    assert await prune(world) == 1
    assert left(world) == (["in-6", "in-8", "in-10"], [])


async def test_what_was_dated_ahead_goes_when_it_is_old_by_the_right_date(world: World) -> None:
    ack(world, "gone", at(365 * DAY))
    sent(world, "out-1", 1, at(365 * DAY))
    ack(world, "claim", at(365 * DAY), "processing")
    assert await prune(world) == 1
    dates = world.out(
        "SELECT status_changed FROM processing_ack UNION ALL SELECT timestamp FROM messages_out"
    )
    assert [date <= (at(60),) for date in dates] == [True, False, True]


async def test_nothing_to_prune_commits_nothing(world: World) -> None:
    ack(world, world.put(2))
    sent(world, "out-1", 1, YOUNG)
    assert await prune(world) == 0


async def test_for_ever_is_for_ever(world: World) -> None:
    ack(world, world.put(2, status="completed"), at(-9999 * DAY))
    sent(world, "out-1", 1, at(-9999 * DAY))
    assert await prune(world, keep_acks=0, keep_messages=0) == 0


async def test_a_message_goes_only_when_its_delivery_has_been_final_for_that_long(world: World) -> None:
    sent(world, "out-1", 1)
    sent(world, "out-3", 3, delivered_at=None)
    sent(world, "out-5", 5, delivered_at=YOUNG)
    sent(world, "out-7", 7, recurrence="@daily")
    sent(world, "out-9", 9, "2024-01-01 12:00:00")  # the other spelling
    assert await prune(world) == 1
    assert left(world)[1] == ["out-3", "out-5", "out-7"]


async def test_rows_that_an_unfinished_turn_needs_are_kept(world: World) -> None:
    for seq, turn in ((1, "first"), (3, "second"), (5, "done")):
        sent(world, f"out-{seq}", seq, turn_id=turn)
    ack(world, world.put(2), status="released", turn="second")
    ack(world, world.put(4, status="completed"), turn="done")
    with world.outbound() as connection:
        connection.execute("INSERT INTO meta VALUES ('continues:second', ?)", (json.dumps(["first"]),))
    await prune(world)
    assert left(world) == (["in-2"], ["out-1", "out-3"])


async def test_the_earlier_turns_of_a_turn_are_pruned_with_its_last_ack(world: World) -> None:
    ack(world, world.put(2), turn="kept")
    with world.outbound() as connection:
        for turn in ("kept", "left"):
            connection.execute("INSERT INTO meta VALUES (?, '[]')", (f"continues:{turn}",))
    assert await prune(world) == 1
    assert world.out("SELECT key FROM meta WHERE key LIKE 'cont%'") == [("continues:kept",)]


async def test_pruning_continues_past_kept_pages_and_each_batch_is_a_commit(world: World) -> None:
    many(world, "pending", range(2, 2 * BATCH + 2, 2))
    many(world, "completed", range(2 * BATCH + 2, 6 * BATCH + 2, 2))
    with world.outbound() as connection, connection:
        connection.executemany(
            "INSERT INTO messages_out (id, seq, kind, timestamp, content, recurrence) "
            "VALUES (?, ?, 'chat', ?, '{}', '@daily')",
            [(f"out-{n}", n, OLD) for n in range(1, 2 * BATCH + 1, 2)],
        )
    sent(world, "out-last", 2 * BATCH + 1)
    assert await prune(world) == 3
    acks, messages = left(world)
    assert (len(acks), len(messages)) == (BATCH, BATCH)


def many(world: World, status: str, numbers: Iterable[int]) -> None:
    rows = [(f"in-{n}", n, status, OLD) for n in numbers]
    with closing(apsw.Connection(str(world.config.inbound_db))) as connection, connection:
        connection.executemany(
            "INSERT INTO messages_in (id, seq, kind, status, timestamp, content) "
            "VALUES (?, ?, 'chat', ?, ?, '{}')",
            rows,
        )
    with world.outbound() as connection, connection:
        connection.executemany(
            "INSERT INTO processing_ack (message_id, status, status_changed) VALUES (?, 'completed', ?)",
            [(row[0], OLD) for row in rows],
        )


# -- beside the loop -----------------------------------------------------------


async def test_a_runner_prunes_at_its_start_and_once_an_hour_and_not_before_it_has_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = list[tuple[float, list[str]]]()
    begin = Pruner._begin

    async def noted(pruner: Pruner) -> None:
        pruned.append((trio.current_time(), world.texts()))
        await begin(pruner)

    monkeypatch.setattr(Pruner, "_begin", noted)
    world.put(2, "hi")
    async with world.running():
        await trio.sleep(2.5 * HOUR)
    assert [texts for _, texts in pruned] == [["echo: hi"]] * 3
    starts = [when for when, _ in pruned]
    assert all(HOUR <= late - early < HOUR + 60 for early, late in pairwise(starts))


async def test_a_message_that_comes_during_a_long_pruning_is_answered_between_two_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 1)
    many(world, "completed", range(2, 202, 2))
    async with world.running():
        await world.until(lambda: len(left(world)[0]) < 90)
        world.put(1000, "hi")
        await world.until_acked("in-1000")
        assert len(left(world)[0]) > 50
        await world.until(lambda: left(world)[0] == ["in-1000"])


async def test_numbers_continue_above_pruned_ones(world: World) -> None:
    async with world.running():
        await world.until_acked(world.put(2))
    [(seq,)] = world.out("SELECT seq FROM messages_out")
    with world.outbound() as connection:
        connection.execute("DELETE FROM messages_out")
    world.host("DELETE FROM messages_in")
    async with world.running():
        await world.until_acked(world.put(4))
    [(later,)] = world.out("SELECT seq FROM messages_out")
    assert isinstance(seq, int)
    assert isinstance(later, int)
    assert later > seq


def test_it_is_off_for_messages_unless_asked_for() -> None:
    assert (RunnerConfig().keep_acks, RunnerConfig().keep_messages) == (7 * DAY, 0)
