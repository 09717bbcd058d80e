"""Waiting for a lock outside SQLite: cancellable, and no thread waits with us."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TypeVar

import apsw
import trio

from nanoclaw.store.errors import is_waitable, translated

T = TypeVar("T")

FIRST_S = 0.001
CEILING_S = 0.050
GROWTH = 2.0
LIMIT_S = 5.0


class Patience:
    """Tries again while a file is locked, after 1 to 50 ms, for `limit_s` seconds in all."""

    def __init__(self, path: Path, random: Random, limit_s: float = LIMIT_S) -> None:
        self._path = path
        self._random = random
        self._limit_s = limit_s

    async def until_done(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` returns as soon as it meets no lock.

        Raises:
            StoreBusy, HotJournal: the file was locked, or its journal not rolled back, for all of that time.
            StoreError: whatever else SQLite says.
        """
        deadline = trio.current_time() + self._limit_s
        delay = FIRST_S
        while True:
            try:
                return await attempt()
            except apsw.Error as error:
                if not is_waitable(error) or trio.current_time() >= deadline:
                    raise translated(error, self._path) from error
            await trio.sleep(max(FIRST_S, delay * self._random.uniform(0.5, 1.0)))
            delay = min(delay * GROWTH, CEILING_S)
