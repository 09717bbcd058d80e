"""The poll loop. The offset moves only after the host has committed the updates before it."""

from collections.abc import Sequence

import trio
from attrs import define

from nanoclaw.channels.telegram.batches import Batches
from nanoclaw.channels.telegram.connection import Connection
from nanoclaw.channels.telegram.receiving import BadUpdate, update_id

ALBUM_WAIT_S = 1.0
"""Seconds for which the next file of an album is waited for."""
MOST_WAITS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Bounds of the pause after the host did not accept an update. It doubles."""


@define(eq=False)
class Poll:
    """Polls for updates, until cancelled."""

    connection: Connection
    batches: Batches
    _offset: int | None = None
    _pause_s: float = FIRST_PAUSE_S

    async def run(self) -> None:
        """Poll and offer.

        Raises:
            ChannelUnavailable: Telegram cannot be asked now.
        """
        while True:
            await self._accept(await self.connection.updates(self._offset))

    async def _accept(self, updates: Sequence[object]) -> None:
        items, refused = self.batches.read(updates), None
        for _ in range(MOST_WAITS):
            waiting = self.batches.open_album(items)
            refused = await self.batches.accept(items, waiting)
            if not waiting or refused is not None:
                break
            updates, before = await self._more(), len(updates)
            items = self.batches.read(updates)
            if len(updates) == before:
                break
        if refused is None:
            refused = await self.batches.accept(items)
        await self._move(updates, refused)

    async def _more(self) -> Sequence[object]:
        """Ask for the same updates again. By then the rest of an album has come."""
        await trio.sleep(ALBUM_WAIT_S)
        return await self.connection.updates(self._offset, 0)

    async def _move(self, updates: Sequence[object], refused: int | None) -> None:
        """Move the offset up to the first update that is not accepted."""
        if refused is not None:
            self._offset = refused
            await trio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        else:
            self._pause_s = FIRST_PAUSE_S
            numbers = [number for each in updates if (number := _number(each)) is not None]
            if numbers:
                self._offset = max(numbers) + 1
        if self._offset is not None:
            self.batches.forget(self._offset)


def _number(raw: object) -> int | None:
    try:
        return update_id(raw)
    except BadUpdate:
        return None
