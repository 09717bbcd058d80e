"""Files that go by their paths: whoever needs one has a copy, and no copy is left."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from attrs import define, field

from actors import ActorError
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.simple import SimpleChannel
from nanoclaw.host import Seams, open_host
from nanoclaw.records import Address, Attachment, ChatMessage, InboundEvent, Outgoing, Receipt
from nanoclaw.routing.waiting_files import SWEEP_S
from nanoclaw.store import StoreError, ThreadExecutor
from nanoclaw.store.session.media import SENDING, WAITING
from nanoclaw.testing import FakeChannel, World, wire
from nanoclaw.testing.world.errors import HostKilled, WorldError
from nanoclaw.testing.world.executor import When
from tests.host.homes import GUARD_S, config, only_session, rows
from tests.host.runtimes import FakeRuntime
from tests.host.test_deliveries import container_runs, says
from tests.kills import kill_at
from tests.people.deciding import decide, open_requests

CONTENT = os.urandom((1 << 20) + 1)


def a_file(folder: Path, name: str = "photo.jpg") -> Attachment:
    """Write a file as a channel does."""
    path = folder / name
    path.write_bytes(CONTENT)
    return Attachment("image", name, path=path)


def in_inboxes(home: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted((home / "data").glob("sessions/*/*/inbound/inbox/*/*"))]


def waiting(home: Path) -> list[Path]:
    return list((home / "data" / WAITING).glob("*"))


async def test_each_session_has_a_copy_of_a_file(world: World, tmp_path: Path) -> None:
    olga = world.user("olga")
    club = world.group("club", [olga])
    for agent in ("one", "two"):
        await world.wire(club, agent)
    given = a_file(tmp_path)
    await world.channel.say("look", chat="club", user="olga", group=True, attachments=[given])
    assert given.path is not None
    given.path.unlink()
    assert in_inboxes(world.home) == [CONTENT, CONTENT]
    assert waiting(world.home) == []


async def test_a_file_of_a_stranger_waits_with_its_message(world: World, tmp_path: Path) -> None:
    olga, eve = world.user("olga"), world.user("eve")
    club = world.group("club", [olga, eve])
    await world.wire(club, policy="request_approval")
    await world.grant(olga, "owner")
    given = a_file(tmp_path)
    assert given.path is not None
    routed = await world.channel.say("look", chat="club", user="eve", group=True, attachments=[given])
    assert routed.held
    given.path.unlink()
    await world.restart()
    await world.sleep(2 * SWEEP_S)
    assert len(waiting(world.home)) == 1
    await decide(world, "approve")
    await club.expect("echo: look")
    assert in_inboxes(world.home) == [CONTENT]
    await world.sleep(2 * SWEEP_S)
    assert waiting(world.home) == []


async def test_a_file_that_is_larger_than_may_be_held_is_not_copied(world: World, tmp_path: Path) -> None:
    olga, eve = world.user("olga"), world.user("eve")
    await world.wire(world.group("club", [olga, eve]), policy="request_approval")
    await world.grant(olga, "owner")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(17 << 20)
    given = Attachment("file", "large", path=tmp_path / "large")
    routed = await world.channel.say("look", chat="club", user="eve", group=True, attachments=[given])
    assert routed.dropped
    assert waiting(world.home) == []


class Failing(ThreadExecutor):
    """Makes a given number of commits of `inbound.db` fail."""

    left = 0

    def before_commit(self, path: Path) -> None:
        if path.name == "inbound.db" and self.left:
            self.left -= 1
            raise OSError("disk trouble")


async def test_a_file_of_a_parked_event_waits_with_it(tmp_path: Path) -> None:
    channel, executor = FakeChannel(), Failing()
    seams = Seams(runtime=FakeRuntime(), executor=executor)
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel], seams=seams) as host:
            rules = {"mentionOnly": True, "ignored": "accumulate"}  # so that no runner commits
            await wire(host, channel.address(), trigger_rules=rules)
            await channel.say("hello")
            executor.left = 3
            given = a_file(tmp_path)
            assert given.path is not None
            await channel.say("look", attachments=[given])
            given.path.unlink()
            assert executor.left == 0
            while await host.admin.parked.list():
                await trio.lowlevel.checkpoint()
            assert in_inboxes(tmp_path) == [CONTENT]


@pytest.mark.parametrize("checkpoints", [1, 2, 5])
async def test_an_offer_that_is_cut_off_keeps_its_file(
    world: World, tmp_path: Path, checkpoints: int
) -> None:
    olga = world.user("olga")
    club = world.group("club", [olga])
    await world.wire(club)
    given = a_file(tmp_path)
    assert given.path is not None
    event = InboundEvent(club.address, "1", ChatMessage("1", "look", "Olga", olga.id, (given,)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.host.intake.offer, event)
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    given.path.unlink()
    await world.channel.offer(event)  # as the network does, which got no confirmation
    assert in_inboxes(world.home) == [CONTENT]


async def test_a_message_whose_file_is_gone_says_so(world: World, tmp_path: Path) -> None:
    olga = world.user("olga")
    await world.wire(world.group("club", [olga]))
    gone = Attachment("image", "photo.jpg", path=tmp_path / "gone")
    await world.channel.say("look", chat="club", user="olga", group=True, attachments=[gone])
    [file] = (world.home / "data").glob("sessions/*/*/inbound/inbound.db")
    [(content,)] = rows(file, "SELECT content FROM messages_in")
    assert json.loads(content)["text"] == (
        "look\n[The file 'photo.jpg' of this message is lost: it cannot be read: No such file or directory.]"
    )


# -- out -------------------------------------------------------------------------


@define(eq=False)
class Streaming(SimpleChannel):
    """A channel that reads files while it delivers. It fails once."""

    channel_type: str = "fake"
    files: list[tuple[str, bytes]] = field(factory=list)
    places: list[Path] = field(factory=list)
    delivered: trio.Event = field(factory=trio.Event)

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        await trio.lowlevel.checkpoint()
        for file in outgoing.files:
            self.places.append(file.path)
            with file.path.open("rb") as stream:
                content = b"".join(iter(lambda: stream.read(1 << 16), b""))
            if len(self.places) == 1:
                raise ChannelUnavailable("not now")
            self.files.append((file.path.name, content))
        self.delivered.set()
        return Receipt("1")


async def test_a_file_is_there_for_each_attempt_and_gone_after_it(tmp_path: Path) -> None:
    channel, runtime = Streaming(), FakeRuntime()
    left = tmp_path / "data" / SENDING / "left"
    left.mkdir(parents=True)
    (left / "secret").write_text("of an earlier host")
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel], seams=Seams(runtime=runtime)) as host:
            assert not left.exists()
            chat = Address("fake", "chat")
            await wire(host, chat)
            await host.intake.offer(InboundEvent(chat, "1", ChatMessage("1", "send it", "Olga", "fake:olga")))
            await runtime.wait_started(1)
            paths = only_session(tmp_path)
            (paths.outbox / "out-1").mkdir(parents=True)
            (paths.outbox / "out-1" / "report.pdf").write_bytes(CONTENT)
            container_runs(paths, says("out-1", 1, None, '{"text": "here", "files": ["report.pdf"]}'))
            await channel.delivered.wait()
    assert channel.files == [("report.pdf", CONTENT)]
    assert len(channel.places) == 2
    assert list((tmp_path / "data" / SENDING).iterdir()) == []


# -- the host dies ---------------------------------------------------------------


async def keep_alive(world: World) -> None:
    while True:
        if not world.host_lives:
            await world.start()
        await world.sleep(1)


async def decide_at_last(world: World, choice: str) -> None:
    """Decide as a person does who presses the button again if the host dies."""
    while True:
        with suppress(ActorError, StoreError, HostKilled, WorldError):
            if not await open_requests(world):
                return
            await decide(world, choice)
        await world.sleep(5)


async def _a_stranger_sends(world: World, tmp_path: Path, kill: tuple[When, int] | None) -> int:
    """Let a stranger send a file that its channel removes, and somebody approve. Return the commits."""
    olga, eve = world.user("olga"), world.user("eve")
    club = world.group("club", [olga, eve])
    await world.wire(club, policy="request_approval")
    await world.grant(olga, "owner")
    begun = kill_at(world, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_alive, world)
        given = a_file(tmp_path)
        assert given.path is not None
        await world.channel.say("look", chat="club", user="eve", group=True, attachments=[given])
        given.path.unlink()
        await decide_at_last(world, "approve")
        await world.sleep(2 * SWEEP_S)
        nursery.cancel_scope.cancel()
    assert in_inboxes(world.home) == [CONTENT], kill
    assert waiting(world.home) == [], kill
    return world.executor.commits - begun


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_commit_loses_no_file_and_leaves_none(
    world: World, tmp_path: Path, when: When
) -> None:
    commits = await _a_stranger_sends(world, tmp_path, None)
    assert commits > 3
    for nth in range(1, commits + 1):
        async with World(channel=FakeChannel(repeat="idempotent")) as other:
            await _a_stranger_sends(other, tmp_path, (when, nth))
