"""A session that keeps its messages for one day: both sides prune in virtual time, and lose nothing."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from nanoclaw.records import Attachment, ChatMessage, InboundEvent
from nanoclaw.testing import FakeChannel, World, simulate, wire
from nanoclaw.testing.invariants import ALWAYS, AT_REST, Evidence, Invariant, violations
from tests.host.homes import only_session, rows

HOUR, DAY = 3600.0, 86_400.0
KEEP: dict[str, Any] = {"retention.messages_s": DAY, "retention.acks_s": DAY, "retention.files_s": HOUR}
LONG_AGO = "UPDATE delivered SET delivered_at = '2025-01-01T00:00:00.000Z'"
LATER = """
    INSERT INTO messages_in (id, seq, kind, timestamp, process_after, content)
    VALUES ('in-later', 1000, 'chat', '2026-01-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z', '{}')
    """
PHOTO = Attachment("image", "photo.png", data=base64.b64encode(b"x").decode())
TABLES = {
    "inbound": ("messages_in", "delivered", "deliveries"),
    "outbound": ("messages_out", "processing_ack"),
}


def sizes(home: Path) -> dict[str, int]:
    """Return the number of rows of each growing table, and of folders in the inbox."""
    paths = only_session(home)
    files = {"inbound": paths.inbound_db, "outbound": paths.outbound_db}
    counts = {
        table: rows(files[name], f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608 -- of this file
        for name, tables in TABLES.items()
        for table in tables
    }
    return {**counts, "inbox": len(list(paths.inbox.iterdir()))}


def change(file: Path, *statements: str) -> None:
    """Change rows of a database that no process has open."""
    with closing(apsw.Connection(str(file))) as connection, connection:
        for statement in statements:
            connection.execute(statement).fetchall()


def kept_promises(home: Path) -> Sequence[str]:
    return violations(Evidence(home / "data"), _CHECKS)


_CHECKS: Sequence[Invariant] = (*ALWAYS, *AT_REST)


def play(home: Path, scenario: Callable[[World, FakeChannel], Awaitable[None]]) -> None:
    """Open a world with a network that outlives the hosts."""

    async def main(world: World) -> None:
        with trio.fail_after(90 * DAY):
            await scenario(world, FakeChannel(repeat="idempotent"))

    simulate(main, seed=1, home=home)


async def talk(world: World, network: FakeChannel, hours: int) -> None:
    """Send a message with a photo every four hours."""
    for _ in range(0, hours, 4):
        await network.say("hello", attachments=[PHOTO])
        await world.sleep(hours=4)


def test_a_session_that_keeps_a_day_does_not_grow_and_continues_its_numbers(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network, **KEEP) as host:
            await wire(host, network.address())
            await talk(world, network, 24 * 3)
            await network.wait_for(18)
        kept = sizes(tmp_path)
        assert kept.pop("inbox") == 1
        assert set(kept.values()) == {6}, kept  # those of one day
        seqs = rows(only_session(tmp_path).inbound_db, "SELECT seq FROM messages_in ORDER BY seq")
        assert seqs[-1][0] == 2 * 18
        assert kept_promises(tmp_path) == []

    play(tmp_path, scenario)


def test_a_session_that_lives_for_days_prunes_daily(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network, **KEEP) as host:
            await wire(host, network.address())
            await talk(world, network, 12)
        paths = only_session(tmp_path)
        change(paths.inbound_db, LATER)
        async with world.life(network, **KEEP) as host:
            await world.sleep(10)
            assert rows(paths.inbound_db, "SELECT count(*) FROM messages_in") == [(4,)]
            await world.sleep(days=2)
            assert host.sessions.nodes()
            assert rows(paths.inbound_db, "SELECT id FROM messages_in") == [("in-later",)]

    play(tmp_path, scenario)


def test_messages_are_kept_for_ever_by_default(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network) as host:
            await wire(host, network.address())
            await talk(world, network, 8)
            await world.sleep(days=20)
            await network.say("hello again")
            await world.sleep(hours=1)
        kept = dict.fromkeys(("messages_in", "delivered", "deliveries", "messages_out"), 3)
        assert sizes(tmp_path) == {**kept, "processing_ack": 1, "inbox": 2}

    play(tmp_path, scenario)


def test_open_messages_stay_at_any_age(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        network.fail("unavailable", times=9999)
        settings = {**KEEP, "delivery.backoff_s": (6 * HOUR,) * 9999}
        async with world.life(network, **settings) as host:
            await wire(host, network.address())
            await network.say("hello")
            await world.sleep(days=1.5)
        async with world.life(network, **settings):
            await world.sleep(days=1.5)
            assert network.sent == []
            network.heal()
            await network.wait_for(1)
        assert sizes(tmp_path)["delivered"] == 1

    play(tmp_path, scenario)


def test_a_container_that_hides_a_row_and_shows_it_again_sends_nothing_twice(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network, **KEEP) as host:
            await wire(host, network.address())
            await network.say("first", event_id="first")
            await network.wait_settled("first")
        paths = only_session(tmp_path)
        [row] = rows(paths.outbound_db, "SELECT id, seq, kind, timestamp, content FROM messages_out")
        change(paths.outbound_db, "DELETE FROM messages_out")
        change(paths.inbound_db, LONG_AGO)
        async with world.life(network, **KEEP):
            await network.say("second", event_id="second")
            await world.sleep(10)
        assert rows(paths.inbound_db, "SELECT count(*) FROM deliveries") == [(1,)]
        change(
            paths.outbound_db,
            f"INSERT INTO messages_out (id, seq, kind, timestamp, content) VALUES {row}",  # noqa: S608 -- of ours
        )
        async with world.life(network, **KEEP):
            await network.say("third", event_id="third")
            await world.sleep(10)
        assert [sent.in_reply_to for sent in network.sent] == ["first", "second", "third"]

    play(tmp_path, scenario)


def test_an_unreadable_file_prunes_nothing(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network, **KEEP) as host:
            await wire(host, network.address())
            await network.say("first", event_id="first")
            await network.wait_settled("first")
        paths = only_session(tmp_path)
        paths.outbound_db.write_bytes(b"no database" * 1000)
        change(paths.inbound_db, LONG_AGO)
        async with world.life(network, **KEEP):
            await network.say("second")
            await world.sleep(10)
        assert rows(
            paths.inbound_db, "SELECT (SELECT count(*) FROM delivered), count(*) FROM messages_in"
        ) == [(1, 2)]

    play(tmp_path, scenario)


def test_deliveries_stay_as_long_as_their_row_also_those_of_each_slot_of_it(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network, **KEEP) as host:
            await wire(host, network.address())
            await network.say("first", event_id="first")
            await network.wait_settled("first")
        paths = only_session(tmp_path)
        [(id_,)] = rows(paths.outbound_db, "SELECT id FROM messages_out")
        change(paths.outbound_db, "UPDATE messages_out SET recurrence = '@daily'")
        slots = [f"{row}@2025-01-01T00:00:00.000Z" for row in (id_, "out-gone")]
        for slot in slots:
            change(
                paths.inbound_db,
                f"INSERT INTO delivered VALUES ('{slot}', 'p', 'delivered', '', NULL, NULL)",  # noqa: S608 -- of ours
                f"INSERT INTO deliveries (message_out_id, seq, status) VALUES ('{slot}', 1, 'final')",  # noqa: S608 -- of ours
                LONG_AGO,
            )
        async with world.life(network, **KEEP):
            await network.say("second")
            await world.sleep(10)
        left = {key for (key,) in rows(paths.inbound_db, "SELECT message_out_id FROM deliveries")}
        assert {id_, slots[0]} <= left
        assert slots[1] not in left

    play(tmp_path, scenario)


@pytest.mark.parametrize("after_s", [0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9])
def test_files_of_a_message_that_is_just_being_stored_stay(tmp_path: Path, after_s: float) -> None:
    """The folder exists since an interrupted try, and looks old, because the date has jumped."""

    async def scenario(world: World, network: FakeChannel) -> None:
        world.clock.jump(timedelta(days=2000))
        host = await world.start(channels=[network], **KEEP)
        await wire(host, network.address())
        await network.say("hello", event_id="1")
        await world.sleep(hours=5)
        said = ChatMessage("2", "look", "ann", "fake:ann")
        left_over = only_session(world.home).inbox / InboundEvent(network.address(), "2", said).message_id
        left_over.mkdir()
        (left_over / PHOTO.name).touch()
        world.executor.pause = lambda: 0.1
        await network.say("awake", event_id="3")
        await world.sleep(after_s)
        await network.say("look", event_id="2", attachments=[PHOTO])
        world.executor.pause = None
        await world.sleep(minutes=1)
        assert (left_over / PHOTO.name).read_bytes() == b"x"

    play(tmp_path, scenario)
