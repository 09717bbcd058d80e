"""The Matrix channel against a real Synapse, by the checks of all channels."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from nanoclaw import Address
from nanoclaw.testing.conformance import ChannelUnderTest, Check, channel_checks
from nanoclaw.testing.conformance.networks import Thread
from tests.channels.matrix.accounts import channel
from tests.channels.matrix.proxy import open_proxy
from tests.channels.matrix.synapse import Person, Synapse

SERVER: list[Synapse] = []
FOLDER: list[Path] = []


@pytest.fixture(autouse=True)
def _places(server: Synapse, tmp_path: Path) -> None:
    SERVER[:], FOLDER[:] = [server], [tmp_path]


async def _until_read(ann: Person, room: str, bot: str, event_id: str) -> None:
    await trio.to_thread.run_sync(ann.until, lambda: ann.receipt(room, bot) == event_id)


@asynccontextmanager
async def a_room() -> AsyncIterator[ChannelUnderTest]:  # noqa: C901 -- a hook after the other
    """A room of two, with a thread, behind a network that can be cut."""
    [server], [folder] = SERVER, FOLDER
    ann, bot = server.person("ann"), server.person("bot")
    room = ann.opens(bot.user_id)
    bot.joins(room)
    root = ann.says(room, "the beginning of a thread")
    said = list[str]()

    async def says(text: str, **more: object) -> None:
        said.append(await trio.to_thread.run_sync(lambda: ann.says(room, text, **more)))
        await _until_read(ann, room, bot.user_id, said[-1])

    async def acts(act: Callable[[], str | None]) -> None:
        event_id = await trio.to_thread.run_sync(act)
        await _until_read(ann, room, bot.user_id, event_id or str(ann.history(room)[-1]["event_id"]))

    async def sends(name: str, data: bytes) -> None:
        content = {"msgtype": "m.file", "body": name, "filename": name, "url": ann.uploads(data)}
        await acts(lambda: ann.sends(room, content))

    def own() -> list[dict[str, object]]:
        return [dict(each) for each in ann.messages(room, bot.user_id)]

    def texts() -> list[str]:
        return list(ann.texts(room, bot.user_id))

    def files() -> list[tuple[str, bytes]]:
        contents = [each["content"] for each in ann.messages(room, bot.user_id)]
        return [(each["filename"], ann.downloads(each["url"])) for each in contents if "url" in each]

    def relation(event: dict[str, object]) -> dict[str, object]:
        found = event["content"]
        return dict(found.get("m.relates_to", {})) if isinstance(found, dict) else {}

    def answers() -> list[str | None]:
        found = [relation(each).get("m.in_reply_to") for each in own()]
        return [str(each["event_id"]) if isinstance(each, dict) else None for each in found]

    def reactions() -> list[tuple[str, str]]:
        events = [each for each in ann.history(room) if each["type"] == "m.reaction"]
        relations = [each["content"]["m.relates_to"] for each in events if each["sender"] == bot.user_id]
        return [(each["event_id"], each["key"]) for each in relations]

    def in_thread() -> list[str]:
        found = [each for each in own() if relation(each).get("rel_type") == "m.thread"]
        return [str(dict(each["content"])["body"]) for each in found]  # type: ignore[call-overload]  # JSON

    @contextmanager
    def rejecting() -> Iterator[None]:
        place = f"/rooms/{room}/state/m.room.power_levels"
        levels = ann.call("GET", place)
        ann.call("PUT", place, {**levels, "events_default": 50})
        try:
            yield
        finally:
            ann.call("PUT", place, levels)

    async with open_proxy(server.port) as proxy:
        in_root = {"m.relates_to": {"rel_type": "m.thread", "event_id": root, "is_falling_back": True}}
        it = channel(proxy.base, bot.user_id, folder / "account")
        async with it.sender():
            pass  # what was said before the first connection is not offered
        yield ChannelUnderTest(
            it,
            Address("matrix", room),
            texts,
            says=says,
            down=proxy.down,
            silent=proxy.silent,
            rejecting=rejecting,
            edits=lambda text: acts(lambda: ann.edits(room, said[-1], text)),
            deletes=lambda: acts(lambda: ann.deletes(room, said[-1])),
            reacts=lambda emoji: acts(lambda: ann.reacts(room, str(own()[-1]["event_id"]), emoji)),
            files=files,
            sends=sends,
            answers=answers,
            reactions=reactions,
            thread=Thread(Address("matrix", room, root), in_thread, says=lambda text: says(text, **in_root)),
        )


@pytest.mark.parametrize("check", channel_checks(a_room), ids=str)
async def test_matrix_conforms(check: Check) -> None:
    await check()
