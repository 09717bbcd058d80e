"""Splits a stream of bytes into lines of bounded length."""

from collections import deque
from collections.abc import Awaitable, Callable

from attrs import Factory, define


@define(eq=False)
class Lines:
    """Iterates over the lines of a stream, without line ends. None stands for a line above the limit.

    `receive` returns the next bytes, and no bytes at the end. `limit` is the number of bytes in a line.
    """

    receive: Callable[[], Awaitable[bytes | bytearray]]
    limit: int
    _whole: deque[bytes | None] = Factory(deque)
    _begun: list[bytes] = Factory(list)
    _size: int = 0
    """Bytes of the unfinished line, including those that are not kept."""
    _ended: bool = False

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> bytes | None:
        while not self._whole and not self._ended:
            self._take(bytes(await self.receive()))
        if not self._whole:
            raise StopAsyncIteration
        return self._whole.popleft()

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self._ended = True
            if self._size:
                self._end_line(b"")
            return
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._end_line(end)
        self._keep(rest)

    def _end_line(self, end: bytes) -> None:
        self._keep(end)
        self._whole.append(None if self._size > self.limit else b"".join(self._begun))
        self._begun, self._size = [], 0

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self.limit:
            self._begun.clear()
        elif part:
            self._begun.append(part)
