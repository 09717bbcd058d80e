"""Places are handed over in order of arrival, and none is lost."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agent_runner.mutex import Mutex as RunnersMutex
from nanoclaw.store.engine.mutex import Mutex, Places

Lock = Places | RunnersMutex
each_lock = pytest.mark.parametrize("make", [Mutex, RunnersMutex])


@each_lock
async def test_the_mutex_admits_one_task_at_a_time_in_order_of_arrival(make: Callable[[], Lock]) -> None:
    lock, inside, order = make(), list[int](), list[int]()

    async def use(n: int) -> None:
        async with lock:
            inside.append(n)
            await trio.lowlevel.checkpoint()
            assert inside == [n]
            inside.remove(n)
            order.append(n)

    async with trio.open_nursery() as nursery, lock:
        for n in range(4):
            nursery.start_soon(use, n)
            await wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3]


@each_lock
async def test_a_cancelled_waiter_loses_its_place(make: Callable[[], Lock]) -> None:
    lock = make()
    async with lock:
        with trio.move_on_after(0):
            async with lock:
                raise AssertionError
    async with lock:
        pass


@each_lock
async def test_a_waiter_cancelled_as_it_is_woken_hands_its_turn_on(make: Callable[[], Lock]) -> None:
    lock, reached = make(), list[str]()

    async def use(name: str, scope: trio.CancelScope) -> None:
        with scope:
            async with lock:
                await trio.lowlevel.checkpoint()
                reached.append(name)

    leaving = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        async with lock:
            nursery.start_soon(use, "leaves", leaving)
            await wait_all_tasks_blocked()
            nursery.start_soon(use, "stays", trio.CancelScope())
            await wait_all_tasks_blocked()
        leaving.cancel()  # it has been woken, and has not run yet
    assert reached == ["stays"]


@each_lock
async def test_an_error_inside_releases_the_mutex(make: Callable[[], Lock]) -> None:
    lock = make()
    with pytest.raises(ValueError, match="x"):
        async with lock:
            raise ValueError("x")
    async with lock:
        pass


async def test_the_mutex_admits_as_many_tasks_as_configured() -> None:
    places, inside, most = Places(2), 0, 0

    async def use() -> None:
        nonlocal inside, most
        async with places:
            inside += 1
            most = max(most, inside)
            await trio.lowlevel.checkpoint()
            inside -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(7):
            nursery.start_soon(use)
    assert (inside, most) == (0, 2)
    async with places, places:
        pass
