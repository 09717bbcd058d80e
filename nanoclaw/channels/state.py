"""The state of a channel: values, subscriptions, locks and lists that outlive the process.

A channel that has a method `use_state` is given its state before its sender is opened. An embedding program
asks `host.channel_state(channel_type)`. Channels do not see each other's state.

Lives (`ttl_s`) follow the host's date. What has expired is gone at once, and is deleted without being read. A
date that is set forward, or a machine that was asleep, ends what is over by the new date. After a date that
was set back, everything keeps the length of its life.
"""

from collections.abc import Awaitable, Callable, Sequence
from math import isfinite
from typing import Protocol, TypeVar, runtime_checkable

import structlog
import trio
from attrs import frozen

from actors import ActorError, Ref, Refusal
from nanoclaw.registry import Changes, Registry
from nanoclaw.registry.chat_state import (
    AcquireLock,
    AppendItem,
    CompareAndSet,
    DeleteValue,
    ExpireState,
    ExtendLock,
    ReleaseLock,
    SetValue,
    Subscribe,
    Unsubscribe,
)
from nanoclaw.store import Connection, NotAllowed, Reader, StoreError
from nanoclaw.store.central import chat_state
from nanoclaw.store.central.chat_state import MOST_ITEMS, Place
from nanoclaw.system.clock import Clock

T = TypeVar("T")

LONGEST_KEY = 512
"""Limit of a key, a thread's id or a lock's name, in characters."""
LARGEST_VALUE = 1 << 20
"""Limit of a value in bytes of UTF-8."""
LONGEST_TTL_S = 10 * 366 * 86_400.0
AGAIN_S = 5.0
"""Delay in seconds before a failed sweep is repeated."""
LONGEST_SLEEP_S = 3600.0

_log = structlog.get_logger()


class StateError(Refusal):
    """The state was not read or changed. The text says why."""


class BadState(StateError):
    """A key, a value or a time has the wrong type or size. Mend the channel."""


class StateFull(StateError):
    """The channel has as many keys as it may have, or the list is too large."""


class StateUnavailable(StateError):
    """The state cannot be read or changed now. A change may have taken effect if the host broke off."""


@frozen
class Lock:
    """A lock that is held until it expires, unless it is extended or released before."""

    name: str
    """Its name among the locks of the channel."""
    token: str
    """The proof that this holder has it. Each time the lock is taken it has another one."""
    fence: int
    """A number that is larger than that of every lock that was taken before, also before a restart.

    Pass it to what the lock protects. A smaller number than one that it has seen is of a former holder.
    """


class ChannelState(Protocol):
    """The state of one channel. When a call returns, its change is on disk.

    Keys, threads and names of locks have 1 to 512 characters. A value is text of at most 1 MiB. A channel has
    at most 10,000 values, and as many lists, subscriptions and locks. `ttl_s` is in seconds; None: for ever.

    Raises:
        BadState: an argument does not fit.
        StateFull: a limit is reached.
        StateUnavailable: the host cannot do it now.
    """

    async def get(self, key: str, /) -> str | None:
        """Return a value, or None."""
        ...

    async def set(self, key: str, value: str, /, *, ttl_s: float | None = None) -> None:
        """Set a value."""
        ...

    async def set_if_absent(self, key: str, value: str, /, *, ttl_s: float | None = None) -> bool:
        """Set a value if there is none. Return True if it was set."""
        ...

    async def compare_and_set(
        self, key: str, expected: str | None, value: str | None, /, *, ttl_s: float | None = None
    ) -> bool:
        """Set a value if it is the expected one. Return True if it was.

        None as `expected` means that there is none, None as `value` deletes it.
        """
        ...

    async def delete(self, key: str, /) -> bool:
        """Delete the value and the list of a key. Return False if there was neither."""
        ...

    async def append(
        self, key: str, value: str, /, *, max_length: int = MOST_ITEMS, ttl_s: float | None = None
    ) -> int:
        """Append to a list, which keeps its newest `max_length` items. Return its length.

        The whole list expires `ttl_s` seconds after its last item came. A list has at most 1,000 items, and
        16 MiB.
        """
        ...

    async def items(self, key: str, /) -> Sequence[str]:
        """Return the items of a list, oldest first."""
        ...

    async def subscribe(self, thread: str, /) -> bool:
        """Subscribe to a thread. Return False if that was done before."""
        ...

    async def unsubscribe(self, thread: str, /) -> bool:
        """End a subscription. Return False if there was none."""
        ...

    async def is_subscribed(self, thread: str, /) -> bool:
        """Return True if there is a subscription to a thread."""
        ...

    async def acquire_lock(self, name: str, /, *, ttl_s: float) -> Lock | None:
        """Take a lock for `ttl_s` seconds. Return None if somebody holds it; this does not wait."""
        ...

    async def extend_lock(self, lock: Lock, /, *, ttl_s: float) -> bool:
        """Let a lock end `ttl_s` seconds from now. Return False if it is lost."""
        ...

    async def release_lock(self, lock: Lock, /) -> bool:
        """Release a lock. Return False if it was lost before."""
        ...


@runtime_checkable
class UsesState(Protocol):
    """A channel that keeps state."""

    def use_state(self, state: ChannelState, /) -> None:
        """Keep the state for later calls. It is called once a start, before the sender is opened."""
        ...


# -- the implementation -------------------------------------------------------------------------


@frozen
class RegistryState:
    """The state of a channel in `v2.db`. The registry changes it."""

    channel_type: str
    central: Reader
    registry: Ref[Registry]
    clock: Clock

    async def get(self, key: str, /) -> str | None:
        """Read it."""
        return await self._read(chat_state.get, key)

    async def set(self, key: str, value: str, /, *, ttl_s: float | None = None) -> None:
        """Set it."""
        checked = self.channel_type, _key(key), _value(value), _ttl_or_none(ttl_s)
        await _asking(lambda: self.registry.ask(SetValue(*checked)))

    async def set_if_absent(self, key: str, value: str, /, *, ttl_s: float | None = None) -> bool:
        """Set it if there is none."""
        return await self.compare_and_set(key, None, value, ttl_s=ttl_s)

    async def compare_and_set(
        self, key: str, expected: str | None, value: str | None, /, *, ttl_s: float | None = None
    ) -> bool:
        """Set it if it is the expected one."""
        old = None if expected is None else _value(expected)
        new = None if value is None else _value(value)
        checked = self.channel_type, _key(key), old, new, _ttl_or_none(ttl_s)
        return await _asking(lambda: self.registry.ask(CompareAndSet(*checked)))

    async def delete(self, key: str, /) -> bool:
        """Delete it."""
        checked = self.channel_type, _key(key)
        return await _asking(lambda: self.registry.ask(DeleteValue(*checked)))

    async def append(
        self, key: str, value: str, /, *, max_length: int = MOST_ITEMS, ttl_s: float | None = None
    ) -> int:
        """Append to a list."""
        length = _length(max_length)
        checked = self.channel_type, _key(key), _value(value), length, _ttl_or_none(ttl_s)
        return await _asking(lambda: self.registry.ask(AppendItem(*checked)))

    async def items(self, key: str, /) -> Sequence[str]:
        """Read a list."""
        return tuple(await self._read(chat_state.items, key))

    async def subscribe(self, thread: str, /) -> bool:
        """Subscribe."""
        checked = self.channel_type, _key(thread)
        return await _asking(lambda: self.registry.ask(Subscribe(*checked)))

    async def unsubscribe(self, thread: str, /) -> bool:
        """End a subscription."""
        checked = self.channel_type, _key(thread)
        return await _asking(lambda: self.registry.ask(Unsubscribe(*checked)))

    async def is_subscribed(self, thread: str, /) -> bool:
        """Read it."""
        return await self._read(chat_state.is_subscribed, thread)

    async def acquire_lock(self, name: str, /, *, ttl_s: float) -> Lock | None:
        """Take a lock."""
        checked = self.channel_type, _key(name), _ttl(ttl_s)
        taken = await _asking(lambda: self.registry.ask(AcquireLock(*checked)))
        return None if taken is None else Lock(name, *taken)

    async def extend_lock(self, lock: Lock, /, *, ttl_s: float) -> bool:
        """Let a lock end later."""
        checked = self.channel_type, _key(lock.name), lock.token, _ttl(ttl_s)
        return await _asking(lambda: self.registry.ask(ExtendLock(*checked)))

    async def release_lock(self, lock: Lock, /) -> bool:
        """Release a lock."""
        checked = self.channel_type, _key(lock.name), lock.token
        return await _asking(lambda: self.registry.ask(ReleaseLock(*checked)))

    async def _read(self, read: Callable[[Connection, Place], T], key: str) -> T:
        place = Place(self.channel_type, _key(key), self.clock.now())
        return await _asking(lambda: self.central.run(read, place))


async def _asking(ask: Callable[[], Awaitable[T]]) -> T:
    """Return the result, with errors as those of this module."""
    try:
        return await ask()
    except NotAllowed as error:
        raise StateFull(str(error)) from error
    except (StoreError, ActorError) as error:
        raise StateUnavailable(f"the state cannot be read or changed now: {error}") from error


def _key(key: object) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        raise BadState(f"a key must be text of 1 to {LONGEST_KEY} characters, got {key!r:.80}")
    return _encodable("a key", key)


def _value(value: object) -> str:
    if not isinstance(value, str):
        raise BadState(f"a value must be text, got {value!r:.80}")
    size = len(_encodable("a value", value).encode())
    if size > LARGEST_VALUE:
        raise BadState(f"a value has {size:,} bytes; the limit is {LARGEST_VALUE:,}")
    return value


def _encodable(what: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadState(f"{what} has a lone surrogate, which cannot be stored: {text!r:.80}") from error
    if "\0" in text:
        raise BadState(f"{what} has a NUL character, which cannot be stored: {text!r:.80}")
    return text


def _ttl(ttl_s: object) -> float:
    fits = isinstance(ttl_s, int | float) and not isinstance(ttl_s, bool) and isfinite(ttl_s)
    if not fits or not 0 < ttl_s <= LONGEST_TTL_S:  # type: ignore[operator]  # it is a number if it fits
        raise BadState(f"ttl_s must be a number of seconds above 0 and at most ten years, got {ttl_s!r:.80}")
    return float(ttl_s)  # type: ignore[arg-type]  # likewise


def _ttl_or_none(ttl_s: object) -> float | None:
    return None if ttl_s is None else _ttl(ttl_s)


def _length(max_length: object) -> int:
    if isinstance(max_length, bool) or not isinstance(max_length, int) or not 0 < max_length <= MOST_ITEMS:
        raise BadState(f"max_length must be a whole number from 1 to {MOST_ITEMS:,}, got {max_length!r:.80}")
    return max_length


# -- expiry -------------------------------------------------------------------------------------


async def sweep_state(central: Reader, registry: Ref[Registry], changes: Changes, clock: Clock) -> None:
    """Delete what has expired, until cancelled. It sleeps until the next expiry."""
    while True:
        try:
            wait_s = await _sweep(central, registry, clock)
        except (StoreError, ActorError) as error:
            _log.warning("channels.state_not_swept", reason=str(error), again_in_s=AGAIN_S)
            wait_s = AGAIN_S
        with trio.move_on_after(wait_s):
            await changes.state_changed()


async def _sweep(central: Reader, registry: Ref[Registry], clock: Clock) -> float:
    """Delete what is due. Return the seconds until the next expiry."""
    now = clock.now()
    ahead, next_ms = await central.run(_due, Place("", "", now))
    left_s = LONGEST_SLEEP_S if next_ms is None else next_ms / 1000 - now.timestamp()
    if not ahead and left_s > 0:
        return min(left_s + 0.001, LONGEST_SLEEP_S)
    await registry.ask(ExpireState())
    return 0.0


def _due(connection: Connection, place: Place) -> tuple[bool, int | None]:
    return chat_state.is_ahead(connection, place.now), chat_state.next_expiry(connection)
