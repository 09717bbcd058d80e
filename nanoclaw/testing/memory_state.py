"""A channel's state in memory, for tests of channels without a host."""

from collections.abc import Sequence
from itertools import count

import trio
from attrs import Factory, define

from nanoclaw.channels.state import Lock


@define(eq=False)
class MemoryState:
    """A `ChannelState` in which nothing expires. It outlives its channel."""

    values: dict[str, str] = Factory(dict)
    lists: dict[str, list[str]] = Factory(dict)
    threads: set[str] = Factory(set)
    locks: dict[str, Lock] = Factory(dict)
    _fences: "count[int]" = Factory(lambda: count(1))

    async def get(self, key: str, /) -> str | None:
        """See `ChannelState.get`."""
        await trio.lowlevel.checkpoint()
        return self.values.get(key)

    async def set(self, key: str, value: str, /, *, ttl_s: float | None = None) -> None:
        """See `ChannelState.set`."""
        del ttl_s
        await trio.lowlevel.checkpoint()
        self.values[key] = value

    async def set_if_absent(self, key: str, value: str, /, *, ttl_s: float | None = None) -> bool:
        """See `ChannelState.set_if_absent`."""
        return await self.compare_and_set(key, None, value, ttl_s=ttl_s)

    async def compare_and_set(
        self, key: str, expected: str | None, value: str | None, /, *, ttl_s: float | None = None
    ) -> bool:
        """See `ChannelState.compare_and_set`."""
        del ttl_s
        await trio.lowlevel.checkpoint()
        if self.values.get(key) != expected:
            return False
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        return True

    async def delete(self, key: str, /) -> bool:
        """See `ChannelState.delete`."""
        await trio.lowlevel.checkpoint()
        found = self.values.pop(key, None) is not None
        return self.lists.pop(key, None) is not None or found

    async def append(
        self, key: str, value: str, /, *, max_length: int = 1000, ttl_s: float | None = None
    ) -> int:
        """See `ChannelState.append`."""
        del ttl_s
        await trio.lowlevel.checkpoint()
        items = self.lists.setdefault(key, [])
        items.append(value)
        del items[:-max_length]
        return len(items)

    async def items(self, key: str, /) -> Sequence[str]:
        """See `ChannelState.items`."""
        await trio.lowlevel.checkpoint()
        return tuple(self.lists.get(key, ()))

    async def subscribe(self, thread: str, /) -> bool:
        """See `ChannelState.subscribe`."""
        known = await self.is_subscribed(thread)
        self.threads.add(thread)
        return not known

    async def unsubscribe(self, thread: str, /) -> bool:
        """See `ChannelState.unsubscribe`."""
        known = await self.is_subscribed(thread)
        self.threads.discard(thread)
        return known

    async def is_subscribed(self, thread: str, /) -> bool:
        """See `ChannelState.is_subscribed`."""
        await trio.lowlevel.checkpoint()
        return thread in self.threads

    async def acquire_lock(self, name: str, /, *, ttl_s: float) -> Lock | None:
        """See `ChannelState.acquire_lock`."""
        del ttl_s
        await trio.lowlevel.checkpoint()
        if name in self.locks:
            return None
        fence = next(self._fences)
        self.locks[name] = Lock(name, str(fence), fence)
        return self.locks[name]

    async def extend_lock(self, lock: Lock, /, *, ttl_s: float) -> bool:
        """See `ChannelState.extend_lock`."""
        del ttl_s
        await trio.lowlevel.checkpoint()
        return self.locks.get(lock.name) == lock

    async def release_lock(self, lock: Lock, /) -> bool:
        """See `ChannelState.release_lock`."""
        if not await self.extend_lock(lock, ttl_s=1.0):
            return False
        del self.locks[lock.name]
        return True
