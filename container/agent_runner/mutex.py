"""A lock for resources that tasks of one runner share."""

from types import TracebackType

import trio


class Mutex:
    """A lock whose uncontended acquisition is no checkpoint, because the work inside it is one.

    This saves one scheduler step per call of the store. A task that acquires it twice deadlocks.
    """

    def __init__(self) -> None:
        self._taken = False
        self._queue = 0
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        if not self._taken:
            self._taken = True
            return
        self._queue += 1
        try:
            await self._waiting.park()  # the woken task holds the lock: it was passed on
        finally:
            self._queue -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken = bool(self._queue and self._waiting.unpark())
