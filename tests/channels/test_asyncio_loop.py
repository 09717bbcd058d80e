"""The bridge to asyncio: what an SDK may do without harm to anything but its own connection."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from nanoclaw.channels.asyncio_loop import AsyncioLoop, SdkCancelled, open_asyncio_loop
from nanoclaw.channels.protocol import ChannelUnavailable

LEAVE_S = 2.0


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Fail if leaving what is opened inside takes as long as a user would notice."""
    with trio.fail_after(LEAVE_S):
        yield


async def hangs() -> None:
    await asyncio.get_running_loop().create_future()


async def ignores_cancellation() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def test_a_call_returns_what_the_sdk_returns() -> None:
    async def add(one: int, other: int) -> int:
        await asyncio.sleep(0)
        return one + other

    async with open_asyncio_loop() as loop:
        assert await loop.run(add, 1, other=2) == 3


async def test_a_task_outside_of_the_connection_may_call_the_sdk() -> None:
    async def loop_of_the_sdk() -> object:
        return asyncio.get_running_loop()

    found = list[object]()

    async def deliver(loop: AsyncioLoop) -> None:
        found.append(await loop.run(loop_of_the_sdk))

    async with trio.open_nursery() as outside, open_asyncio_loop() as loop:
        outside.start_soon(deliver, loop)
        found.append(await loop.run(loop_of_the_sdk))
        while len(found) < 2:
            await trio.lowlevel.checkpoint()
    assert found[0] is found[1]


async def test_the_sdk_may_call_trio() -> None:
    async def handler(text: str) -> str:
        await trio.lowlevel.checkpoint()
        return text.upper()

    async with open_asyncio_loop() as loop:
        told = loop.callback(handler)

        async def sdk() -> str:
            return await told("hello")

        assert await loop.run(sdk) == "HELLO"


async def test_an_error_of_a_call_is_that_calls_alone() -> None:
    async def fails() -> None:
        raise ValueError("bad token")

    async with open_asyncio_loop() as loop:
        with pytest.raises(ValueError, match="bad token"):
            await loop.run(fails)
        assert await loop.run(asyncio.sleep, 0, "still there") == "still there"


async def test_a_crash_of_the_sdk_ends_its_connection_and_no_other() -> None:
    async def crashes() -> None:
        raise RuntimeError("the reader died")

    async def start() -> None:
        asyncio.get_running_loop().create_task(crashes())

    async with open_asyncio_loop() as other:
        with pytest.raises(BaseExceptionGroup) as raised:  # noqa: PT012 -- it is raised at the end
            async with open_asyncio_loop() as loop:
                await loop.run(start)
                gc.collect()
                await trio.sleep_forever()
        assert raised.group_contains(RuntimeError, match="the reader died")
        assert await other.run(asyncio.sleep, 0, "unharmed") == "unharmed"


async def test_a_hanging_call_is_left_at_once() -> None:
    async with in_time(), open_asyncio_loop() as loop:
        with trio.move_on_after(0.01) as scope:
            await loop.run(hangs)
    assert scope.cancelled_caught


async def test_a_call_that_ignores_its_cancellation_is_abandoned() -> None:
    async with in_time(), open_asyncio_loop() as loop:
        with trio.move_on_after(0.01) as scope:
            await loop.run(ignores_cancellation)
    assert scope.cancelled_caught


async def test_a_task_that_ignores_its_cancellation_does_not_keep_the_connection_open() -> None:
    async def start() -> None:
        asyncio.get_running_loop().create_task(ignores_cancellation(), name="stubborn")

    async with in_time(), open_asyncio_loop() as loop:
        await loop.run(start)


async def test_closing_that_hangs_is_given_up() -> None:
    async with in_time(), open_asyncio_loop() as loop:
        await loop.close(hangs)


async def test_a_call_that_the_sdk_cancels_is_an_error_and_no_cancellation() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    async with open_asyncio_loop() as loop:
        with pytest.raises(SdkCancelled):
            await loop.run(gives_up)


async def test_nothing_is_called_after_the_connection() -> None:
    async with open_asyncio_loop() as loop:
        pass
    with pytest.raises(ChannelUnavailable, match="closed"):
        await loop.run(asyncio.sleep, 0)


async def test_no_task_and_no_thread_is_left() -> None:
    before = threading.active_count()
    tasks = trio.lowlevel.current_statistics().tasks_living

    async def start() -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(3600))

    async with open_asyncio_loop() as loop:
        await loop.run(start)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert threading.active_count() == before


async def test_asyncio_has_the_time_of_trio(autojump_clock: MockClock) -> None:
    del autojump_clock
    async with open_asyncio_loop() as loop:
        before = trio.current_time()
        await loop.run(asyncio.sleep, 3600)
    assert trio.current_time() - before >= 3600


async def test_leaving_does_not_wait_for_what_blocks_in_a_thread_of_the_sdk() -> None:
    begun, ended = threading.Event(), threading.Event()

    def look_up() -> None:
        begun.set()
        ended.wait(20)

    async def called() -> None:
        await asyncio.get_running_loop().run_in_executor(None, look_up)

    try:
        with trio.fail_after(10):
            async with open_asyncio_loop() as loop, trio.open_nursery() as nursery:
                nursery.start_soon(loop.run, called)
                await trio.to_thread.run_sync(begun.wait)
                nursery.cancel_scope.cancel()
        assert not ended.is_set()
    finally:
        ended.set()
