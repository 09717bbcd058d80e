"""A user with end-to-end encryption: nio's own client, as it is."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nio
import trio
from attrs import Factory, define

from nanoclaw.channels.asyncio_loop import AsyncioLoop, open_asyncio_loop
from tests.channels.matrix.synapse import PASSWORD, Person

SYNC_MS = 2000
ENCRYPTION = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


@define(eq=False)
class Friend:
    """Somebody who writes in encrypted rooms."""

    loop: AsyncioLoop
    client: Any
    seen: list[Mapping[str, Any]] = Factory(list)
    """The events of others, decrypted."""

    async def opens(self, *invited: str) -> str:
        """Create an encrypted room, and wait until everybody is there."""
        room = await self.creates(*invited)
        await self.awaits(room, *invited)
        return room

    async def creates(self, *invited: str) -> str:
        """Create an encrypted room."""
        made = await self.loop.run(
            self.client.room_create, invite=invited, is_direct=True, initial_state=[ENCRYPTION]
        )
        return str(made.room_id)

    async def awaits(self, room: str, *invited: str) -> None:
        """Wait until everybody is in a room."""
        with trio.fail_after(30):
            while not self._all_there(room, invited):
                await self.syncs()

    def _all_there(self, room: str, invited: Sequence[str]) -> bool:
        users = self.client.rooms[room].users if room in self.client.rooms else {}
        return all(user in users and not users[user].invited for user in invited)

    async def syncs(self) -> None:
        """Take what is new, and do what is due for keys."""
        news = await self.loop.run(self.client.sync, timeout=SYNC_MS)
        for room in news.rooms.join.values():
            self.seen += [
                {**event.source, "was_encrypted": event.decrypted}
                for event in room.timeline.events
                if event.sender != self.client.user_id
            ]
        if self.client.should_upload_keys:
            await self.loop.run(self.client.keys_upload)
        if self.client.should_query_keys:
            await self.loop.run(self.client.keys_query)

    async def sends(self, room: str, content: Mapping[str, Any]) -> str:
        sent = await self.loop.run(
            self.client.room_send, room, "m.room.message", dict(content), ignore_unverified_devices=True
        )
        assert isinstance(sent, nio.RoomSendResponse), sent
        return str(sent.event_id)

    async def says(self, room: str, text: str) -> str:
        return await self.sends(room, {"msgtype": "m.text", "body": text})

    async def messages(self, n: int) -> Sequence[Mapping[str, Any]]:
        """Return the first messages of others, once there are so many."""
        with trio.fail_after(30):
            while len(found := [e for e in self.seen if e["type"] == "m.room.message"]) < n:
                await self.syncs()
        return found


@asynccontextmanager
async def open_friend(person: Person, folder: Path) -> AsyncIterator[Friend]:
    await trio.Path(folder).mkdir()
    async with open_asyncio_loop() as loop:
        config = nio.AsyncClientConfig(store_sync_tokens=False, max_timeouts=1, max_limit_exceeded=0)
        client = nio.AsyncClient(person.base, person.user_id, store_path=str(folder), config=config)
        try:
            await loop.run(client.login, PASSWORD)
            friend = Friend(loop, client)
            await friend.syncs()
            yield friend
        finally:
            await loop.close(client.close)
            if client.store is not None:
                client.store.database.close()
