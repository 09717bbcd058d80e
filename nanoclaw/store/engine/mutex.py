"""Locks for tasks that then wait for a worker. So taking a free lock needs no checkpoint."""

from types import TracebackType

import trio


class Places:
    """A semaphore: admits a fixed number of tasks, in order of arrival.

    Taking a free place is not a checkpoint, because the work that follows is one. This saves one scheduler
    step for each call of the store.
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
            await self._waiting.park()  # the leaving task passes its place to the task it wakes
        finally:
            self._queue -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not (self._queue and self._waiting.unpark()):
            self._free += 1


class Mutex(Places):
    """A lock for one task at a time. A task that takes it twice deadlocks."""

    def __init__(self) -> None:
        super().__init__(1)
