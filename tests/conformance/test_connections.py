"""The checks of connections, large files, direct chats and changes of chats find what is wrong."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Event as ThreadEvent
from threading import Thread

import pytest
import trio
from attrs import Factory, define, evolve

from nanoclaw.channels.handover import Handover
from nanoclaw.channels.media import Media
from nanoclaw.channels.protocol import Capabilities, DeliveryRejected
from nanoclaw.channels.simple import SimpleChannel
from nanoclaw.records import (
    Address,
    ChatMessage,
    ChatRenamed,
    Event,
    InboundEvent,
    Intake,
    Joined,
    Left,
    Outgoing,
    Receipt,
    TextContent,
)
from nanoclaw.testing.conformance import ChannelUnderTest, DirectChat, NotConforming, channel_checks
from nanoclaw.testing.conformance.connections import CHECKS

PART = 1 << 16
CLUB = Address("net", "club")
CAPABILITIES = Capabilities(direct_chats=True)


@define(eq=False)
class Network(SimpleChannel):
    """A network whose channel streams files, and does one thing wrong."""

    folder: Path
    wrong: str = ""
    channel_type: str = "net"
    capabilities: Capabilities = CAPABILITIES
    texts: dict[str, list[str]] = Factory(dict)
    handover: Handover = Factory(Handover)
    silent: bool = False
    dms: int = 0

    @asynccontextmanager
    async def sender(self) -> AsyncIterator["Network"]:
        try:
            await self._open()
            yield self
        finally:
            if self.wrong == "leaves slowly":
                with trio.CancelScope(shield=True):
                    await trio.sleep(10)

    async def _open(self) -> None:
        await trio.lowlevel.checkpoint()
        match self.wrong:
            case "leaves a task":
                trio.lowlevel.spawn_system_task(trio.sleep_forever, name="forgotten")
            case "leaves a thread":
                Thread(target=ThreadEvent().wait, args=(20,), daemon=True, name="forgotten").start()
            case "leaves a socket":
                trio.socket.socket().detach()

    async def receive(self, intake: Intake) -> None:
        await self.handover.serve(intake)

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        await trio.lowlevel.checkpoint()
        if self.silent:
            await trio.sleep_forever()
        for file in outgoing.files:
            if self.wrong == "reads files whole":
                file.path.read_bytes()
            async with await trio.open_file(file.path, "rb") as stream:
                while await stream.read(PART):
                    pass
        content = outgoing.content
        if isinstance(content, TextContent):
            self.texts.setdefault(outgoing.address.platform_id, []).append(content.text)
        return Receipt(str(len(self.texts)))

    async def open_dm(self, user_id: str) -> Address:
        await trio.lowlevel.checkpoint()
        if not user_id.startswith("net:") and self.wrong != "takes anybody":
            raise DeliveryRejected(f"{user_id} is not of this network")
        self.dms += self.wrong == "another chat each time"
        return Address(self.channel_type, f"dm-{user_id}-{self.dms}")

    # -- hooks

    @contextmanager
    def silence(self) -> Iterator[None]:
        self.silent = True
        try:
            yield
        finally:
            self.silent = False

    @contextmanager
    def discarding(self) -> Iterator[None]:
        yield  # it keeps no file anyway

    async def zeros(self, size: int) -> AsyncIterator[bytes]:
        for _ in range(size // PART):
            await trio.lowlevel.checkpoint()
            yield bytes(PART)

    async def sends_large(self, name: str, size: int) -> None:
        if self.wrong == "fetches files whole":
            b"".join([part async for part in self.zeros(size)])
        size -= PART if self.wrong == "cuts files" else 0
        async with Media(self.folder).files() as files:
            await files.add("file", name, self.zeros(size))
            message = ChatMessage("1", files.text(""), "Ann", "net:ann", files.attachments)
            await self.handover.offer(InboundEvent(CLUB, "1", message))

    async def tells(self, event: Event) -> None:
        match event:
            case _ if self.wrong == "tells nothing":
                return
            case Left() if self.wrong == "another user":
                event = evolve(event, user_id="net:bob")
            case _:
                pass
        await self.handover.offer(event)

    def under_test(self) -> ChannelUnderTest:
        return ChannelUnderTest(
            self,
            CLUB,
            lambda: self.texts.get("club", []),
            silent=self.silence,
            discarding=self.discarding,
            sends_large=self.sends_large,
            direct=DirectChat("net:ann", lambda: self.texts.get("dm-net:ann-0", [])),
            renames=lambda name: self.tells(ChatRenamed(CLUB, "1", name)),
            joins=lambda: self.tells(Joined(CLUB, "2", "net:ann", "Ann")),
            leaves=lambda: self.tells(Left(CLUB, "3", "net:ann", "Ann")),
        )


async def run(check: str, network: Network) -> str | None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ChannelUnderTest]:
        yield network.under_test()

    [tried] = [each for each in channel_checks(opens) if each.name == check]
    return await tried()


LARGE = ["large_files_are_sent_in_parts", "large_files_are_fetched_in_parts"]
"""Files are read in threads, for which virtual time does not wait."""
FAULTS = [
    ("leaving_takes_little_time", "leaves slowly"),
    ("nothing_is_left_of_a_closed_channel", "leaves a task"),
    ("nothing_is_left_of_a_closed_channel", "leaves a thread"),
    ("nothing_is_left_of_a_closed_channel", "leaves a socket"),
    ("large_files_are_sent_in_parts", "reads files whole"),
    ("large_files_are_fetched_in_parts", "fetches files whole"),
    ("large_files_are_fetched_in_parts", "cuts files"),
    ("a_direct_chat_is_found", "another chat each time"),
    ("users_of_other_networks_have_no_direct_chat", "takes anybody"),
    ("a_new_name_of_a_chat_is_offered", "tells nothing"),
    ("who_comes_and_goes_is_offered", "tells nothing"),
    ("who_comes_and_goes_is_offered", "another user"),
]


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS if check.__name__ not in LARGE])
async def test_a_good_channel_conforms(check: str, tmp_path: Path, autojump_clock: object) -> None:
    del autojump_clock
    assert await run(check, Network(tmp_path)) is None


@pytest.mark.parametrize("check", LARGE)
async def test_a_channel_that_streams_conforms(check: str, tmp_path: Path) -> None:
    assert await run(check, Network(tmp_path)) is None


@pytest.mark.parametrize(("check", "wrong"), [each for each in FAULTS if each[0] not in LARGE])
async def test_each_broken_channel_fails_its_check(
    check: str, wrong: str, tmp_path: Path, autojump_clock: object
) -> None:
    del autojump_clock
    with pytest.raises(NotConforming, match=check):
        await run(check, Network(tmp_path, wrong))


@pytest.mark.parametrize(("check", "wrong"), [each for each in FAULTS if each[0] in LARGE])
async def test_a_channel_that_reads_files_whole_fails_its_check(
    check: str, wrong: str, tmp_path: Path
) -> None:
    with pytest.raises(NotConforming, match=check):
        await run(check, Network(tmp_path, wrong))


def test_every_check_has_a_failing_example() -> None:
    assert {check for check, _ in FAULTS} == {check.__name__ for check in CHECKS}
