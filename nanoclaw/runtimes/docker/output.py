"""The output of a container, from the engine's log of it, as the stream that a host's log reads."""

from collections.abc import AsyncIterator

import trio
from attrs import define, field

HEADER = 8
"""Bytes before each piece: its stream, three zeros, and its length."""
MAX_PIECE = 1 << 20


def followed(container_id: str, *, whole: bool) -> str:
    """Return the request for a container's output from its beginning, or from now on."""
    return f"/containers/{container_id}/logs?stdout=1&stderr=1&follow=1&tail={'all' if whole else 0}"


@define(eq=False)
class Output(trio.abc.ReceiveStream):
    """The pieces of an output without their headers. A broken format ends it."""

    _pieces: AsyncIterator[bytes]
    _rest: bytes = field(default=b"", init=False)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next piece, or nothing at the end."""
        del max_bytes  # a piece is as long as the engine made it
        while True:
            if len(self._rest) >= HEADER:
                length = int.from_bytes(self._rest[4:HEADER], "big")
                if length > MAX_PIECE:
                    return b""
                if len(self._rest) >= HEADER + length:
                    piece, self._rest = self._rest[HEADER : HEADER + length], self._rest[HEADER + length :]
                    if piece:
                        return piece
                    continue
            try:
                self._rest += await anext(self._pieces)
            except StopAsyncIteration:
                return b""

    async def aclose(self) -> None:
        """Close nothing: the connection has an owner of its own."""
        await trio.lowlevel.checkpoint()
