"""Locks for what is used by few tasks at a time, each of which then works in a worker."""

from types import TracebackType

import trio


class Places:
    """So many tasks at a time, in the order in which they come.

    Taking a free place is no checkpoint: the work that follows is one. That is a step of the scheduler less
    for each call of the store.
    """

    def __init__(self, free: int) -> None:
        self._free = free
        self._queue = 0
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
            return
        self._queue += 1
        try:
            await self._waiting.park()  # who is woken has a place: it was handed over
        finally:
            self._queue -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not (self._queue and self._waiting.unpark()):
            self._free += 1


class Mutex(Places):
    """One at a time. A task that takes it twice waits for ever."""

    def __init__(self) -> None:
        super().__init__(1)
