"""Messages to the registry about the state of channels. They leave cached reads valid."""

from attrs import field, frozen

from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store.central import chat_state
from nanoclaw.store.central.chat_state import Place


@frozen
class _OfChannel(CheckedMessage):
    """A change of the state of one channel."""

    channel_type: str
    key: str

    def place(self, actor: Registry) -> Place:
        """Return the key, and the date."""
        return Place(self.channel_type, self.key, actor.clock.now())


@frozen
class SetValue(_OfChannel):
    """Set a value; `ttl_s` None: it never expires."""

    value: str = field(repr=False)
    ttl_s: float | None = None

    async def handle(self, actor: Registry) -> None:
        """Set it. Raise `NotAllowed` if there are too many."""
        await actor.note(chat_state.put, self.place(actor), self.value, self.ttl_s)
        if self.ttl_s is not None:
            actor.changes.tell_state()


@frozen
class CompareAndSet(_OfChannel):
    """Set a value if it is the expected one. None expects that there is none, or deletes the value."""

    expected: str | None = field(repr=False)
    value: str | None = field(repr=False)
    ttl_s: float | None = None

    async def handle(self, actor: Registry) -> bool:
        """Return True if it was set. Raise `NotAllowed` if there are too many."""
        done = await actor.note(
            chat_state.compare_and_set, self.place(actor), self.expected, self.value, self.ttl_s
        )
        if self.ttl_s is not None:
            actor.changes.tell_state()
        return done


@frozen
class DeleteValue(_OfChannel):
    """Delete a value or a list."""

    async def handle(self, actor: Registry) -> bool:
        """Return False if there was none."""
        return await actor.note(chat_state.delete, self.place(actor))


@frozen
class Subscribe(_OfChannel):
    """Subscribe to a thread."""

    async def handle(self, actor: Registry) -> bool:
        """Return False if that was done before. Raise `NotAllowed` if there are too many."""
        return await actor.note(chat_state.subscribe, self.place(actor))


@frozen
class Unsubscribe(_OfChannel):
    """End a subscription."""

    async def handle(self, actor: Registry) -> bool:
        """Return False if there was none."""
        return await actor.note(chat_state.unsubscribe, self.place(actor))


@frozen
class AcquireLock(_OfChannel):
    """Take a lock for some time."""

    ttl_s: float

    async def handle(self, actor: Registry) -> tuple[str, int] | None:
        """Return its token and its fencing number, or None if somebody holds it."""
        token = actor.new_id("lock")
        fence = await actor.note(chat_state.acquire, self.place(actor), token, self.ttl_s)
        actor.changes.tell_state()
        return None if fence is None else (token, fence)


@frozen
class ExtendLock(_OfChannel):
    """Let a lock end later."""

    token: str
    ttl_s: float

    async def handle(self, actor: Registry) -> bool:
        """Return False if it is not held with this token any more."""
        done = await actor.note(chat_state.extend, self.place(actor), self.token, self.ttl_s)
        actor.changes.tell_state()
        return done


@frozen
class ReleaseLock(_OfChannel):
    """Release a lock."""

    token: str

    async def handle(self, actor: Registry) -> bool:
        """Return False if it is not held with this token any more."""
        return await actor.note(chat_state.release, self.place(actor), self.token)


@frozen
class AppendItem(_OfChannel):
    """Append to a list, which keeps its newest items."""

    value: str = field(repr=False)
    max_length: int
    ttl_s: float | None = None

    async def handle(self, actor: Registry) -> int:
        """Return the length of the list. Raise `NotAllowed` if it is too large, or there are too many."""
        length = await actor.note(
            chat_state.append, self.place(actor), self.value, self.max_length, self.ttl_s
        )
        if self.ttl_s is not None:
            actor.changes.tell_state()
        return length


@frozen
class ExpireState:
    """Delete what has expired, after the dates were corrected if the date was set back."""

    async def handle(self, actor: Registry) -> bool:
        """Return True if there may be more."""
        now = actor.clock.now()
        await actor.note(chat_state.date_back, now)
        return await actor.note(chat_state.expire, now)
