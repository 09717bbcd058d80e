"""Whatever concerns one session ends in that session: at the start, while the host runs, and in lists."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from nanoclaw.cli.status import status_lines
from nanoclaw.host import Host
from nanoclaw.host_status import HostStatus
from nanoclaw.operations import Caller, Catalogue, Operations
from nanoclaw.records import SessionPaths
from nanoclaw.testing import FakeChannel, World, wire
from tests.control.sample import over_the_wire
from tests.ordinary_user import as_owner
from tests.simulation.scenarios import run_scenario

BAD, GOOD = "bad", "good"
PATIENCE_S = 5.0
Damage = Callable[[Path, SessionPaths], None]


def sql(statement: str) -> Damage:
    """Change rows of `v2.db` as a person with an editor does: without checks. `:id` is the bad session."""

    def damage(home: Path, paths: SessionPaths) -> None:
        with closing(sqlite3.connect(home / "data" / "v2.db")) as central:
            assert central.execute(statement, {"id": paths.root.name}).rowcount
            central.commit()

    return damage


def file_instead_of(name: str) -> Damage:
    def damage(_home: Path, paths: SessionPaths) -> None:
        place = paths.root / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        place.touch()

    return damage


def folder_instead_of(name: str) -> Damage:
    def damage(_home: Path, paths: SessionPaths) -> None:
        (paths.root / name).unlink()
        (paths.root / name).mkdir()

    return damage


def link_instead_of(name: str, target: str) -> Damage:
    def damage(_home: Path, paths: SessionPaths) -> None:
        place = paths.root / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        place.symlink_to(target)

    return damage


def link_to_itself(_home: Path, paths: SessionPaths) -> None:
    shutil.rmtree(paths.root)
    paths.root.symlink_to(paths.root.name)


ROWS = {
    "an unknown status": sql("UPDATE sessions SET status = 'closed' WHERE id = :id"),
    "a number as status": sql("UPDATE sessions SET status = 7 WHERE id = :id"),
    "an impossible date": sql("UPDATE sessions SET created_at = '2026-99-99' WHERE id = :id"),
    "a word as date": sql("UPDATE sessions SET last_active = 'yesterday' WHERE id = :id"),
    "a date far away": sql("UPDATE sessions SET created_at = '0001-01-01T00:00:00+23:59' WHERE id = :id"),
}
FILES = {
    "its folder is a file": file_instead_of("."),
    "its folder is a link to itself": link_to_itself,
    "its folder is a link to nowhere": link_instead_of(".", "/nowhere"),
    "inbound is a file": file_instead_of("inbound"),
    "inbound.db is a folder": folder_instead_of("inbound/inbound.db"),
    "inbound.db is a link to itself": link_instead_of("inbound/inbound.db", "inbound.db"),
    "inbox is a file": file_instead_of("inbound/inbox"),
    "outbound is a file": file_instead_of("outbound"),
    "outbound.db is a folder": folder_instead_of("outbound/outbound.db"),
    "owner is a folder": folder_instead_of("owner"),
}


async def talk(network: FakeChannel, chat: str, id_: str) -> None:
    await network.say(f"text {id_}", chat=chat, event_id=id_)
    await network.reply_to(id_)


async def two_sessions(world: World, network: FakeChannel) -> SessionPaths:
    """Let a host with two sessions live once. Return the paths of the one that is then damaged."""
    async with world.life(network) as host:
        for chat in (BAD, GOOD):
            await wire(host, network.address(chat), agent=chat)
            await talk(network, chat, f"first-{chat}")
        session, _ = await host.admin.sessions.list()
    return SessionPaths.of(world.home / "data", session.agent_group_id, session.id)


async def status_of(world: World, host: Host) -> str:
    source = HostStatus(host._root, host.sessions, host.central, host.config, world.clock, "simulated", tuple)
    return "\n".join(status_lines(over_the_wire(await source.status())))


async def listed(host: Host, name: str) -> tuple[list[Any], list[str]]:
    """Return the rows that a list shows, and its notes."""
    notes = list[str]()
    found = await Operations(Catalogue.installed(), host._ground).perform(
        name, {}, Caller.local(), notes.append
    )
    assert isinstance(found, list)
    return found, notes


@pytest.mark.parametrize("damage", ROWS.values(), ids=ROWS)
def test_a_damaged_row_of_a_session_concerns_only_that_session(tmp_path: Path, damage: Damage) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await two_sessions(world, network)
        damage(world.home, paths)
        async with world.life(network) as host:
            routed = await network.say("for the bad one", chat=BAD, event_id="parked")
            assert routed.session_ids == (paths.root.name,)
            await talk(network, GOOD, "second")
            assert f"sessions '{paths.root.name}': " in await status_of(world, host)
            for name in ("sessions.list", "messages.list", "tasks.list"):
                found, [note] = await listed(host, name)
                assert paths.root.name not in str(found)
                assert note.startswith(f"sessions '{paths.root.name}': ")
            assert [each.session_id for each in await host.admin.parked.list()] == [paths.root.name]
        sql(REPAIRED)(world.home, paths)
        async with world.life(network):
            await network.reply_to("parked")

    run_scenario(tmp_path, scenario)


REPAIRED = """
UPDATE sessions SET status = 'active', created_at = '2026-01-01 00:00:00', last_active = NULL WHERE id = :id
"""


def test_a_session_with_an_unknown_status_is_repaired_by_a_command(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await two_sessions(world, network)
        ROWS["an unknown status"](world.home, paths)
        async with world.life(network) as host:
            await network.say("for the bad one", chat=BAD, event_id="parked")
            await host.admin.sessions.resume(paths.root.name)
            await network.reply_to("parked")

    run_scenario(tmp_path, scenario)


def repair(place: Path, copy: Path) -> None:
    """Put back what has another type than in the copy. What the host wrote since stays."""
    if place.is_symlink() or place.is_dir() != copy.is_dir():
        place.rmdir() if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
        (shutil.copytree if copy.is_dir() else shutil.copy)(copy, place)
    elif copy.is_dir():
        for each in copy.iterdir():
            repair(place / each.name, each)


@pytest.mark.parametrize("damage", FILES.values(), ids=FILES)
def test_a_damaged_folder_of_a_session_concerns_only_that_session(tmp_path: Path, damage: Damage) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await two_sessions(world, network)
        shutil.copytree(paths.root, tmp_path / "copy")
        damage(world.home, paths)
        async with world.life(network) as host:
            routed = await network.say("for the bad one", chat=BAD, event_id="bad")
            assert routed.session_ids == (paths.root.name,)
            await talk(network, GOOD, "second")
            status = await status_of(world, host)
            assert str(paths.root) in status, status
            for name in ("sessions.list", "messages.list", "tasks.list"):
                await listed(host, name)
        repair(paths.root, tmp_path / "copy")
        async with world.life(network):
            await network.reply_to("bad")

    run_scenario(tmp_path, scenario)


VALUES = {
    "UPDATE messages_in SET status = 'pending', process_after = 'soon'": "process_after is 'soon', but",
    "UPDATE messages_in SET status = 'pending', tries = 'x'": "tries is 'x', but must be a whole number",
    "UPDATE messages_in SET status = 'pending', id = NULL": "messages_in None: id is NULL, but must be text",
    "UPDATE meta SET value = 'many' WHERE key = 'seq'": "meta 'seq': value is 'many', but must be a whole",
    "UPDATE deliveries SET status = 'pending', next_attempt = '2026-13-01'": "next_attempt is '2026-13-01'",
    "UPDATE deliveries SET status = 'odd'": "status is 'odd', but must be one of pending, sending, unknown",
    "UPDATE deliveries SET status = 'pending', attempts = 'many'": "attempts is 'many', but must be a whole",
}


@pytest.mark.parametrize(("statement", "reason"), VALUES.items(), ids=VALUES)
def test_a_bad_value_in_a_sessions_file_concerns_only_that_session(
    tmp_path: Path, statement: str, reason: str
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await two_sessions(world, network)
        with closing(sqlite3.connect(paths.inbound_db)) as inbound:
            assert inbound.execute(statement).rowcount
            inbound.commit()
        async with world.life(network) as host:
            await network.say("for the bad one", chat=BAD, event_id="bad")
            await talk(network, GOOD, "second")
            status = await status_of(world, host)
            assert f"{paths.inbound_db}: a row cannot be read: " in status
            assert reason in status
            assert "correct that row, or restore" in status
            for name in ("sessions.list", "messages.list", "tasks.list"):
                await listed(host, name)

    run_scenario(tmp_path, scenario)


# -- other rows ------------------------------------------------------------------


OTHERS = {
    "a wiring with an unknown mode": (
        "UPDATE messaging_group_agents SET session_mode = 'none' WHERE id = :wiring"
    ),
    "a wiring with broken rules": "UPDATE messaging_group_agents SET trigger_rules = '{' WHERE id = :wiring",
    "a chat with an unknown policy": (
        "UPDATE messaging_groups SET unknown_sender_policy = 'maybe' WHERE id = :chat"
    ),
    "a chat that is gone": "DELETE FROM messaging_groups WHERE id = :chat",
    "an agent without a date": "UPDATE agent_groups SET created_at = '' WHERE id = :agent",
    "an agent that is gone": "DELETE FROM agent_groups WHERE id = :agent",
    "an agent with a bad id": "UPDATE agent_groups SET id = '../..' WHERE id = :agent",
}


@pytest.mark.parametrize("statement", OTHERS.values(), ids=OTHERS)
def test_another_damaged_row_concerns_only_what_names_it(tmp_path: Path, statement: str) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await two_sessions(world, network)
        with closing(sqlite3.connect(world.home / "data" / "v2.db")) as central:
            [(chat, agent)] = central.execute(
                "SELECT messaging_group_id, agent_group_id FROM sessions WHERE id = ?", (paths.root.name,)
            )
            [(wiring,)] = central.execute(
                "SELECT id FROM messaging_group_agents WHERE agent_group_id = ?", (agent,)
            )
            names = {"chat": chat, "agent": agent, "wiring": wiring}
            assert central.execute(statement, names).rowcount
            central.commit()
        async with world.life(network) as host:
            with trio.move_on_after(PATIENCE_S):  # the network offers it again and again
                await network.say("for the bad one", chat=BAD, event_id="bad")
            await talk(network, GOOD, "second")
            shown = await status_of(world, host)
            assert "damaged   these rows of v2.db are left out" in shown or "nobody is heard" in shown
            for noun in ("sessions", "messages", "tasks", "wirings", "chats", "agents", "destinations"):
                await listed(host, f"{noun}.list")

    run_scenario(tmp_path, scenario)


def test_a_damaged_wiring_leaves_the_chats_other_agents(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        async with world.life(network) as host:
            await wire(host, network.address(), agent="one")
            await wire(host, network.address(), agent="two")
        with closing(sqlite3.connect(world.home / "data" / "v2.db")) as central:
            central.execute(
                "UPDATE messaging_group_agents SET priority = 'high' WHERE agent_group_id = "
                "(SELECT id FROM agent_groups WHERE folder = 'one')"
            )
            central.commit()
        async with world.life(network):
            assert len((await network.say("hello", event_id="1")).session_ids) == 1
            await network.reply_to("1")

    run_scenario(tmp_path, scenario)


def test_a_damaged_parked_event_leaves_the_others(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await two_sessions(world, network)
        ROWS["an unknown status"](world.home, paths)
        async with world.life(network):
            for id_ in ("1", "2"):
                await network.say("parked", chat=BAD, event_id=id_)
        sql("UPDATE parked_events SET event = '{' WHERE rowid = 1 AND session_id = :id")(world.home, paths)
        sql(REPAIRED)(world.home, paths)
        async with world.life(network) as host:
            await network.reply_to("2")
            assert len(await host.admin.parked.list()) == 1

    run_scenario(tmp_path, scenario)


# -- the agent's folder ----------------------------------------------------------


def a_file_as_workspace(home: Path) -> None:
    shutil.rmtree(home / "groups" / BAD / "workspace")
    (home / "groups" / BAD / "workspace").touch()


def a_file_as_folder(home: Path) -> None:
    shutil.rmtree(home / "groups" / BAD)
    (home / "groups" / BAD).touch()


def a_folder_outside(home: Path) -> None:
    with closing(sqlite3.connect(home / "data" / "v2.db")) as central:
        central.execute("UPDATE agent_groups SET folder = '../../outside' WHERE folder = ?", (BAD,))
        central.commit()


@pytest.mark.parametrize("damage", [a_file_as_workspace, a_file_as_folder, a_folder_outside])
def test_an_agents_folder_that_cannot_be_used_fails_its_runner_and_the_chat_is_told(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await two_sessions(world, network)
        damage(world.home)
        async with world.life(network) as host:
            await network.say("for the bad one", chat=BAD, event_id="bad")
            await talk(network, GOOD, "second")
            notice = (await network.wait_for(4))[-1]
            assert notice.address == network.address(BAD)
            assert "folder" in str(notice.content)
            status = await status_of(world, host)
            assert "its runner failed" in status
            assert "buried" not in status.replace("0 buried", "")
        assert not (world.home.parent / "outside").exists()
        assert paths.inbound_db.exists()

    run_scenario(tmp_path, scenario)


# -- permissions -----------------------------------------------------------------


@pytest.fixture
def open_home() -> Iterator[Path]:
    """Return a home that another user may enter, too. The folders of pytest are closed to others."""
    with tempfile.TemporaryDirectory(prefix="nanoclaw-") as home:
        yield Path(home)


CLOSED = (
    ".",
    "..",
    "inbound",
    "inbound/inbound.db",
    "outbound",
    "outbound/outbound.db",
    f"../../../../groups/{BAD}",
    f"../../../../groups/{BAD}/workspace",
)
"""Files and folders, from the session's own folder."""


@pytest.mark.parametrize("closed", CLOSED)
def test_a_folder_without_permissions_concerns_only_its_session(open_home: Path, closed: str) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        paths = await two_sessions(world, network)
        async with world.life(network) as host:
            await status_of(world, host)  # imports everything while all may be read
            for name in ("sessions.list", "messages.list", "tasks.list"):
                await listed(host, name)
        place = (paths.root / closed).resolve()
        with as_owner(world.home):
            mode = place.stat().st_mode
            place.chmod(0)
            async with world.life(network) as host:
                await network.say("for the bad one", chat=BAD, event_id="bad")
                await talk(network, GOOD, "second")
                if closed == "owner":  # the lock is mended when it is opened
                    await network.reply_to("bad")
                else:
                    assert str(place) in await status_of(world, host)
                for name in ("sessions.list", "messages.list", "tasks.list"):
                    await listed(host, name)
            place.chmod(mode)
            async with world.life(network):
                await network.reply_to("bad")

    run_scenario(open_home, scenario)
