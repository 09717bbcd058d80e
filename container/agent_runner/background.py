"""Runs a task in the background of a block."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def background(task: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Run `task` while the block runs, then cancel it. An error of the block is raised unchanged.

    `task` must not raise. If it does, that is a bug, and is raised as a group.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- raised again below, outside the nursery
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
