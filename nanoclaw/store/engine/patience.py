"""Retries while a file is locked, or descriptors are exhausted.

It waits outside SQLite, so it is cancellable and blocks no thread.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TypeVar

import apsw
import trio

from nanoclaw.store.engine.errors import Exhausted, StoreError, is_locked, translated

T = TypeVar("T")

FIRST_S = 0.001
CEILING_S = 0.050
GROWTH = 2.0
LIMIT_S = 5.0
OVERDUE_S = 2.0
"""Seconds of waiting after which the delay is reported."""


class Patience:
    """Retries a file that is locked or cannot be opened, every 1 to 50 ms, for `limit_s` seconds in total."""

    def __init__(self, path: Path, random: Random, limit_s: float = LIMIT_S) -> None:
        self._path = path
        self._random = random
        self._limit_s = limit_s

    async def until_done(
        self, attempt: Callable[[], Awaitable[T]], overdue: Callable[[], None] = lambda: None
    ) -> T:
        """Return the result of the first `attempt` that finds the file unlocked and gets its descriptors.

        `overdue` is called once if the file is still locked after `OVERDUE_S`.

        Raises:
            StoreBusy, HotJournal: the file was locked, or its journal not rolled back, for the whole time.
            Exhausted: descriptors or memory were exhausted for the whole time.
            StoreError: SQLite reports any other error.
        """
        start, delay, told = None, FIRST_S, False
        while True:
            try:
                return await attempt()
            except (apsw.Error, Exhausted) as error:
                failure = error if isinstance(error, StoreError) else translated(error, self._path)
                now = trio.current_time()  # read only here, because nearly always nothing is locked
                start = now if start is None else start
                waited = now - start
                locked = is_locked(error)
                if not (locked or isinstance(failure, Exhausted)) or waited >= self._limit_s:
                    raise failure from (error if failure is not error else error.__cause__)
            if locked and waited >= OVERDUE_S and not told:
                told = True
                overdue()
            await trio.sleep(max(FIRST_S, delay * self._random.uniform(0.5, 1.0)))
            delay = min(delay * GROWTH, CEILING_S)
