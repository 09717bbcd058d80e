"""Runs the work of each chat in order, and that of several chats concurrently."""

from collections import deque
from collections.abc import Awaitable, Callable

import trio
from attrs import Factory, define

Job = Callable[[], Awaitable[None]]


@define(eq=False)
class InOrder:
    """Queues of work by key, such as the id of a chat. Their tasks run in the nursery."""

    nursery: trio.Nursery
    _queues: dict[str, deque[Job]] = Factory(dict)

    def put(self, key: str, job: Job) -> None:
        """Run a job after the earlier ones with the same key. An error of a job ends the nursery."""
        queue = self._queues.get(key)
        if queue is not None:
            queue.append(job)
            return
        self._queues[key] = deque([job])
        self.nursery.start_soon(self._work, key)

    async def _work(self, key: str) -> None:
        queue = self._queues[key]
        while queue:
            await queue.popleft()()
        del self._queues[key]
