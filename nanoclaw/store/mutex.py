"""A lock for what is used by one task at a time and ends in a worker."""

from types import TracebackType

import trio


class Mutex:
    """A lock, but taking it where nobody has it is no checkpoint: the work that follows is one.

    That is one step of the scheduler less for each call of the store.
    A task that takes it twice waits for ever.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        if self._taken:
            await self._waiting.park()  # who is woken has it: it was handed over
        else:
            self._taken = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken = bool(self._waiting.unpark())
