"""Runners of simulations that stop where they are, and go on."""

import trio
from trio.testing import wait_all_tasks_blocked

from nanoclaw.testing.runners import Body
from nanoclaw.testing.virtual import VirtualClock


async def test_who_is_stopped_twice_goes_on_at_once(autojump_clock: object) -> None:
    del autojump_clock
    body = Body(VirtualClock())
    body.freeze()
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(body.wait)
            await wait_all_tasks_blocked()
            body.freeze()
            body.thaw()
