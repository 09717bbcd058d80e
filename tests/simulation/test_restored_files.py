"""One of a session's two files is restored alone or lost: no old reply is sent again, and new ones arrive."""

import math
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nanoclaw.records import SessionPaths
from nanoclaw.testing import FakeChannel, World, wire
from tests.simulation.scenarios import run_scenario

SETTLED_S = 30.0
CHAT = "chat"
Accident = Callable[[SessionPaths, Path], None]
"""What happens to a session whose host is stopped; the second path has its files from before."""


def older(*names: str) -> Accident:
    def restore(paths: SessionPaths, before: Path) -> None:
        for name in names:
            shutil.copy(before / name, paths.root / name)

    return restore


def missing(*names: str) -> Accident:
    def lose(paths: SessionPaths, _before: Path) -> None:
        for name in names:
            (paths.root / name).unlink()

    return lose


def empty(*names: str) -> Accident:
    def truncate(paths: SessionPaths, _before: Path) -> None:
        for name in names:
            (paths.root / name).write_bytes(b"")

    return truncate


def without_tables(paths: SessionPaths, _before: Path) -> None:
    paths.inbound_db.unlink()
    with closing(sqlite3.connect(paths.inbound_db)) as connection:
        connection.execute("VACUUM")


def both(*accidents: Accident) -> Accident:
    def happen(paths: SessionPaths, before: Path) -> None:
        for accident in accidents:
            accident(paths, before)

    return happen


INBOUND, OUTBOUND, MARK = "inbound/inbound.db", "outbound/outbound.db", "owner"
ACCIDENTS = {
    "inbound older": (older(INBOUND), "replies up to number 7 count as sent"),
    "inbound older, without a mark": (both(older(INBOUND), missing(MARK)), "up to number 7 count as sent"),
    "inbound missing": (missing(INBOUND), "replies up to number 7 count as sent"),
    "inbound missing, without a mark": (missing(INBOUND, MARK), "replies up to number 7 count as sent"),
    "inbound empty": (empty(INBOUND), "replies up to number 7 count as sent"),
    "inbound without tables": (without_tables, "replies up to number 7 count as sent"),
    "outbound older": (older(OUTBOUND), "outbound.db is empty or older than inbound.db"),
    "outbound missing": (missing(OUTBOUND), "outbound.db is empty or older than inbound.db"),
    "outbound empty": (empty(OUTBOUND), "outbound.db is empty or older than inbound.db"),
    "both older": (older(INBOUND, OUTBOUND), "replies up to number 3 count as sent"),
    "the whole folder older": (older(INBOUND, OUTBOUND, MARK), None),
    "both missing": (missing(INBOUND, OUTBOUND), "the session's files were missing"),
    "both missing, without a mark": (missing(INBOUND, OUTBOUND, MARK), "the session's files were missing"),
    "the whole folder missing": (
        lambda paths, _: shutil.rmtree(paths.root),
        "the session's files were missing",
    ),
    "inbound older, outbound missing": (both(older(INBOUND), missing(OUTBOUND)), "up to number 3"),
    "outbound older, inbound missing": (both(older(OUTBOUND), missing(INBOUND)), "up to number 3"),
    "nothing": (older(), None),
}


def said(network: FakeChannel) -> Iterator[str]:
    return (str(getattr(one.content, "text", one.content)) for one in network.sent)


async def talk(network: FakeChannel, *ids: str) -> None:
    for id_ in ids:
        await network.say(id_, chat=CHAT, event_id=id_)
        await network.reply_to(id_)


async def three_replies(world: World, network: FakeChannel, before: Path) -> SessionPaths:
    """Let two hosts live. `before` has the session's folder from between them."""
    async with world.life(network) as host:
        await wire(host, network.address(CHAT))
        await talk(network, "one")
        [session] = await host.admin.sessions.list()
    paths = SessionPaths.of(world.home / "data", session.agent_group_id, session.id)
    shutil.copytree(paths.root, before)
    async with world.life(network):
        await talk(network, "two", "three")
    return paths


@pytest.mark.parametrize(("accident", "conclusion"), ACCIDENTS.values(), ids=ACCIDENTS)
def test_no_reply_is_sent_twice_and_the_next_one_arrives(
    tmp_path: Path, accident: Accident, conclusion: str | None
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await three_replies(world, network, tmp_path / "before")
        accident(paths, tmp_path / "before")
        async with world.life(network) as host:
            await talk(network, "four")
            await world.sleep(SETTLED_S)
            details = await host.sessions.status(paths.root.name, 1.0)
            assert details is not None
            assert (conclusion or "None") in str(details.restored)
        async with world.life(network) as host:
            await talk(network, "five")
            await world.sleep(SETTLED_S)
        assert [*said(network)] == [f"echo: {n}" for n in ("one", "two", "three", "four", "five")]

    run_scenario(tmp_path / "home", scenario)


def test_a_delivery_that_was_open_in_the_copy_counts_as_sent(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network, delivery={"backoff_s": (60.0,) * 9}) as host:
            await wire(host, network.address(CHAT))
            network.fail("unavailable")
            await network.say("one", chat=CHAT, event_id="one")
            await network.wait_attempts(1)
            [session] = await host.admin.sessions.list()
        paths = SessionPaths.of(world.home / "data", session.agent_group_id, session.id)
        shutil.copytree(paths.root, tmp_path / "before")
        async with world.life(network):
            await network.reply_to("one")
        older(INBOUND)(paths, tmp_path / "before")
        async with world.life(network):
            await talk(network, "two")
            await world.sleep(SETTLED_S)
        assert [*said(network)] == ["echo: one", "echo: two"]

    run_scenario(tmp_path / "home", scenario)


def test_replies_that_wait_at_a_crash_are_still_sent(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network) as host:
            await wire(host, network.address(CHAT))
            await talk(network, "one")
            network.fail("unavailable", times=math.inf)
            await network.say("two", chat=CHAT, event_id="two")
            await world.sleep(SETTLED_S)
            await world.kill_host()
        network.heal()
        async with world.life(network):
            await network.reply_to("two")

    run_scenario(tmp_path / "home", scenario)


def test_a_lost_folder_is_reported_at_the_start_without_a_message(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await three_replies(world, network, tmp_path / "before")
        shutil.rmtree(paths.root)
        async with world.life(network):
            await world.sleep(SETTLED_S)
        with closing(sqlite3.connect(paths.inbound_db)) as inbound:
            [(restored,)] = inbound.execute("SELECT value FROM meta WHERE key = 'restored'")
        assert "the session's files were missing" in restored

    run_scenario(tmp_path / "home", scenario)
