"""A backlog of 200 messages: the time from the runner's start until all are answered."""

import trio
from attrs import define

from nanoclaw.host import Seams
from nanoclaw.runtimes import Death, Runner, RunnerSpec, RuntimeWrapper
from nanoclaw.runtimes.process import ProcessRuntime
from tests.bench.loads import burst, event
from tests.bench.wired import CHAT, wired_host

MESSAGES = 200


def run() -> list[tuple[str, float, str]]:
    return [("backlog200_makespan", trio.run(_measure), "s")]


@define(eq=False)
class HeldRuntime(RuntimeWrapper):
    """A runtime that starts runners once `release` is set."""

    release: trio.Event

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        await self.release.wait()
        return await self.runtime.run(spec, task_status=task_status)


async def _measure() -> float:
    held = HeldRuntime(ProcessRuntime(), trio.Event())
    async with wired_host(seams=Seams(runtime=held)) as bench, trio.open_nursery() as nursery:
        events = [event(CHAT, f"m{n}") for n in range(MESSAGES)]
        nursery.start_soon(burst, bench, events)
        for one in events:
            await bench.host.intake.offer(one)
        start = trio.current_time()
        held.release.set()
        for one in events:
            await bench.channel.waiting[one.event_id].wait()
        return trio.current_time() - start
