"""Sandboxes have a bounded disk, and leave the host a reserve."""

import re
from pathlib import Path

import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.records.status import HostReport, SessionDetails
from nanoclaw.session.space import FREE_S
from nanoclaw.testing import World
from nanoclaw.testing.world.chats import Chat
from tests.sandbox.conftest import Disk
from tests.sandbox.isolated import isolated

MIB = 1 << 20
SMALL = {"sandbox.disk": "4M"}
USED_UP = re.compile("^My disk space is used up")
NEARLY_FULL = re.compile("^The disk of this machine is nearly full")
pytestmark = pytest.mark.world(settings=SMALL, seams=isolated)


def workspace(world: World) -> Path:
    return world.home / "groups" / "main" / "workspace"


def fill(world: World, size: int, name: str = "big") -> Path:
    file = workspace(world) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * size)
    return file


async def details(world: World) -> SessionDetails:
    report = await world.host.status()
    [session] = report.living_sessions
    assert session.details is not None
    return session.details


def notices(chat: Chat, words: re.Pattern[str]) -> list[str]:
    return [entry.text for entry in chat.transcript if entry.from_agent and words.match(entry.text)]


async def test_a_session_without_space_waits_says_so_once_and_goes_on_when_there_is_some(
    world: World,
) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    file = fill(world, 5 * MIB)
    await ann.says("one")
    await chat.expect(USED_UP)
    await ann.says("two")
    await trio.sleep(3600)
    assert len(notices(chat, USED_UP)) == 1
    found = await details(world)
    assert found.runner.state == "absent"
    assert found.runner.failures == 0
    assert found.used_up is not None
    assert found.used_up.startswith(
        f"its disk space is used up: more than 4 MiB; free some in {workspace(world)}"
    )
    file.unlink()
    await chat.expect(re.compile("echo: one"), within=60)


async def test_a_runner_that_fills_its_space_is_stopped_in_its_turn_and_the_turn_is_repeated(
    world: World,
) -> None:
    tries = list[int]()

    async def fills(turn: Turn, _tools: Toolbox) -> str:
        tries.append(turn.messages[0].tries)
        if len(tries) == 1:
            fill(world, 5 * MIB)
        await trio.sleep(300)
        return "done"

    world.agent("main", fills)
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("work")
    await chat.expect(USED_UP, within=200)
    assert (await details(world)).runner.state == "absent"
    (workspace(world) / "big").unlink()
    await chat.expect("done", within=400)
    assert tries == [0, 0]


async def test_people_are_told_once_while_the_agent_can_still_clean_up(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    fill(world, int(3.4 * MIB))
    await ann.says("hello")
    await chat.expect(re.compile("I have used 3 MiB of the 4 MiB"), within=200)
    await chat.expect("echo: hello")
    await chat.expect_nothing(within=600)


async def test_the_agent_is_told_once_with_its_next_message_that_its_space_is_nearly_used_up(
    world: World,
) -> None:
    turns = list[list[tuple[str, object]]]()

    async def notes(turn: Turn, _tools: Toolbox) -> str:
        turns.append([(each.kind, each.content.get("type")) for each in turn.context])
        return "done"

    world.agent("main", notes)
    ann = world.user("ann")
    chat = await world.direct(ann)
    fill(world, int(3.4 * MIB))
    for text in ("one", "two"):
        await ann.says(text)
        await chat.expect("done", within=400)
        await trio.sleep(600)
    told = [kinds for kinds in turns if ("system", "disk") in kinds]
    assert len(told) == 1
    assert len(turns) == 2


async def test_a_raised_limit_counts_without_a_restart_of_the_host(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    fill(world, 5 * MIB)
    await ann.says("hello")
    await chat.expect(USED_UP)
    (workspace(world).parent / "container.json").write_text('{"limits": {"disk": "64M"}}')
    await chat.expect("echo: hello", within=60)


async def test_a_restart_looks_at_the_space_at_once(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    file = fill(world, 5 * MIB)
    await ann.says("hello")
    await chat.expect(USED_UP)
    await trio.sleep(10)
    file.unlink()
    [session] = await world.host.admin.sessions.list()
    await world.host.admin.sessions.restart(session.id)
    await chat.expect("echo: hello", within=2)


async def test_a_host_restarts_with_a_session_without_space(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    file = fill(world, 5 * MIB)
    await ann.says("hello")
    await chat.expect(USED_UP)
    await world.restart()
    await trio.sleep(60)
    assert (await details(world)).runner.state == "absent"
    assert len(notices(chat, USED_UP)) == 1
    file.unlink()
    await chat.expect("echo: hello", within=60)


# -- the reserve --------------------------------------------------------------------


async def test_while_the_reserve_is_touched_no_sandbox_starts_and_the_status_says_why(
    world: World, disk: Disk
) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    disk.free = 900 * MIB
    await ann.says("hello")
    await chat.expect(NEARLY_FULL)
    report: HostReport = await world.host.status()
    assert report.disk is not None
    assert report.disk.startswith("the disk is nearly full: 900 MiB are free, and 1.0 GiB are kept free")
    assert (await details(world)).runner.failures == 0
    disk.free = 1100 * MIB  # a little more than the reserve is not enough, or it would flap
    await chat.expect_nothing(within=600)
    disk.free = 2000 * MIB
    await chat.expect("echo: hello", within=10)
    assert (await world.host.status()).disk is None


async def test_a_runner_without_work_stops_first_and_the_one_that_began_last_next(
    world: World, disk: Disk
) -> None:
    begun = list[str]()

    async def works(turn: Turn, _tools: Toolbox) -> str:
        text = str(turn.messages[0].content["text"])
        begun.append(text)
        await trio.sleep(0 if text == "idle" else 1000)
        return f"done: {text}"

    world.agent("main", works)
    chats = {}
    for name in ("idle", "first", "second"):
        user = world.user(name)
        chats[name] = await world.direct(user)
        await user.says(name)
        await trio.sleep(30)
    await trio.sleep(FREE_S / 2)  # between two looks of the host
    disk.free = 600 * MIB
    for left in (["first", "second"], ["first"], []):
        await trio.sleep(FREE_S)
        assert await running(world) == left
    disk.free = 2000 * MIB
    for name in ("first", "second"):
        await chats[name].expect(f"done: {name}", within=1100)
    assert begun == ["idle", "first", "second", *begun[3:]]
    assert sorted(begun[3:]) == ["first", "second"]


async def test_if_little_of_the_reserve_is_left_all_stop_at_once(world: World, disk: Disk) -> None:
    async def works(_turn: Turn, _tools: Toolbox) -> str:
        await trio.sleep(1000)
        return "done"

    world.agent("main", works)
    for name in ("ann", "ben", "cid"):
        user = world.user(name)
        await world.direct(user)
        await user.says("work")
    await trio.sleep(10)
    disk.free = 400 * MIB
    await trio.sleep(3)
    assert await running(world) == []


async def running(world: World) -> list[str]:
    """Return the chats whose runner is up."""
    report = await world.host.status()
    chats = [(each.chat or "", each.details.runner.state) for each in report.living_sessions if each.details]
    return sorted(chat.rpartition(":")[2] for chat, state in chats if state == "running")


@pytest.mark.world(settings=SMALL)
async def test_a_runtime_that_isolates_nothing_bounds_no_space(world: World, disk: Disk) -> None:
    disk.free = 0
    ann = world.user("ann")
    chat = await world.direct(ann)
    fill(world, 5 * MIB)
    await ann.says("hello")
    await chat.expect("echo: hello")
