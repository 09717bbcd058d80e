"""JSON lines over a stream, as host and network talk."""

import json
from collections.abc import AsyncIterator
from typing import Any

import trio
from attrs import Factory, define

from nanoclaw.system.lines import Lines

LIMIT = 1 << 20


@define(eq=False)
class Talk:
    """One connection."""

    stream: trio.SocketStream
    _sending: trio.Lock = Factory(trio.Lock)

    async def say(self, **values: Any) -> None:
        """Send an object.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: the other side, or ours, is gone.
        """
        async with self._sending:
            await self.stream.send_all(json.dumps(values).encode() + b"\n")

    async def hear(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the lines of the other side until it closes the connection."""
        try:
            async for line in Lines(self.stream.receive_some, LIMIT):
                if line:
                    yield json.loads(line)
        except (trio.BrokenResourceError, trio.ClosedResourceError, ValueError):  # cut off, maybe in a line
            return
