"""A message and its echo through a real homeserver, beside two bare clients that do the same."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import nio
import trio
from attrs import define

from nanoclaw.channels.asyncio_loop import AsyncioLoop, open_asyncio_loop
from nanoclaw.records import Address
from nanoclaw.registry import WireChat
from tests.bench.wired import wired_host
from tests.channels.matrix.accounts import channel
from tests.channels.matrix.synapse import PASSWORD, Person, Synapse, synapse

MESSAGES, WARM = 40, 5


def run() -> list[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home = Path(folder) / "synapse"
        home.mkdir()
        with synapse(home) as server:
            return trio.run(_measure, server, Path(folder))


async def _measure(server: Synapse, folder: Path) -> list[tuple[str, float, str]]:
    ann, bot, bare = (server.person(name) for name in ("ann", "bot", "bare"))
    async with _client(ann) as user:
        ours, theirs = await user.opens(bot.user_id), await user.opens(bare.user_id)
        it = channel(server.base, bot.user_id, folder / "account")
        async with wired_host(it) as bench, _echo(bare, theirs):
            await bench.host.registry.ask(WireChat(Address("matrix", ours), "main", "public"))
            await user.awaits(ours, bot.user_id)
            await user.awaits(theirs, bare.user_id)
            trips: dict[str, list[float]] = {ours: [], theirs: []}
            for n in range(MESSAGES + WARM):
                for room in (ours, theirs):
                    trips[room].append(await user.round_trip(room, f"message {n}"))
    host, floor = (median(trips[room][WARM:]) for room in (ours, theirs))
    return [
        ("matrix_roundtrip_p50", host * 1e3, "ms"),
        ("matrix_bare_p50", floor * 1e3, "ms"),
        ("matrix_roundtrip_ratio", host / floor, "x"),
    ]


@define(eq=False)
class _User:
    """A bare client of the SDK."""

    loop: AsyncioLoop
    client: nio.AsyncClient

    async def opens(self, user: str) -> str:
        made: Any = await self.loop.run(self.client.room_create, invite=[user], is_direct=True)
        return str(made.room_id)

    async def sync(self) -> nio.SyncResponse:
        news = await self.loop.run(self.client.sync, timeout=10_000)
        assert isinstance(news, nio.SyncResponse), news
        return news

    async def awaits(self, room: str, user: str) -> None:
        while room not in self.client.rooms or self.client.rooms[room].users.get(user) is None:
            await self.sync()
        while self.client.rooms[room].users[user].invited:
            await self.sync()

    async def says(self, room: str, text: str) -> None:
        content = {"msgtype": "m.text", "body": text}
        await self.loop.run(self.client.room_send, room, "m.room.message", content)

    async def round_trip(self, room: str, text: str) -> float:
        """Send a text, and wait for its echo. Return the seconds."""
        start = perf_counter()
        await self.says(room, text)
        while True:
            news = await self.sync()
            if any(echo == f"echo: {text}" for echo in _texts(news, room, self.client.user_id)):
                return perf_counter() - start


def _texts(news: nio.SyncResponse, room: str, but: str) -> list[str]:
    """Return the new texts of others in a room."""
    joined = news.rooms.join.get(room)
    events = joined.timeline.events if joined is not None else []
    return [each.body for each in events if isinstance(each, nio.RoomMessageText) and each.sender != but]


@asynccontextmanager
async def _client(person: Person) -> AsyncIterator[_User]:
    async with open_asyncio_loop() as loop:
        config = nio.AsyncClientConfig(encryption_enabled=False, store_sync_tokens=False)
        client = nio.AsyncClient(person.base, person.user_id, config=config)
        try:
            await loop.run(client.login, PASSWORD)
            yield _User(loop, client)
        finally:
            await loop.close(client.close)


@asynccontextmanager
async def _echo(person: Person, room: str) -> AsyncIterator[None]:
    """Answer each message in a room with a bare client."""
    person.joins(room)
    async with _client(person) as user, trio.open_nursery() as nursery:
        await user.sync()
        nursery.start_soon(_answer, user, room)
        yield
        nursery.cancel_scope.cancel()


async def _answer(user: _User, room: str) -> None:
    while True:
        for text in _texts(await user.sync(), room, user.client.user_id):
            await user.says(room, f"echo: {text}")
