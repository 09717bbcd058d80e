"""The loop in which an incarnation handles messages."""

from collections.abc import Callable, Sequence
from typing import Any

import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import checkpoint

from actors._errors import Refusal, crashed
from actors._events import Event, Refused
from actors._mailbox import Entry, Mailbox
from actors._message import Kind, set_current


class Server:
    """Handles what a mailbox holds: all signals that are pending, one run of messages, and so on.

    `flying` is in flight since `since` (trio's clock): entries whose askers still wait for this actor.
    """

    __slots__ = ("_batch", "_kinds", "_mailbox", "_report", "flying", "since")

    def __init__(self, mailbox: Mailbox, batch: int, report: Callable[[Event], None]) -> None:
        self._mailbox = mailbox
        self._batch = batch
        self._report = report
        self._kinds: dict[type, Kind] = {}
        self.flying: Sequence[Entry] = ()
        self.since = 0.0

    @property
    def message(self) -> str | None:
        """The type of what is in flight."""
        return type(self.flying[0].message).__name__ if self.flying else None

    def land(self, error: Callable[[], Exception]) -> None:
        """Fail whatever is still in flight, each asker with an error of its own."""
        flying, self.flying = self.flying, ()
        for entry in flying:
            entry.fail(error())

    async def serve(self, actor: Any) -> None:
        """Handle messages until the mailbox is shut; what a handler raises, but a `Refusal`, leaves here."""
        mailbox = self._mailbox
        while mailbox.shut_for is None:
            if mailbox.signals:
                await self._signals(actor)
            if mailbox.queue:
                await self._messages(actor)
            if mailbox.queue or mailbox.signals:
                await checkpoint()  # handlers need not yield, yet others must run
            elif mailbox.shut_for is None:
                await mailbox.wait()

    async def _signals(self, actor: Any) -> None:
        """Those pending now; what they signal in turn waits for one run of messages."""
        signals = self._mailbox.signals
        for _ in range(len(signals)):
            if not signals:  # shut meanwhile
                return
            message, _ = signals.popitem(last=False)
            await self._one(actor, Entry(message, None, asked=False), self._kind(type(message)))

    async def _messages(self, actor: Any) -> None:
        kind = self._kind(type(self._mailbox.queue[0].message))
        if kind.handle_all is None:
            await self._one(actor, self._mailbox.take(), kind)
        else:
            await self._many(actor, self._take_run(), kind)

    async def _one(self, actor: Any, entry: Entry, kind: Kind) -> None:
        self.flying = (entry,)
        self.since = trio.current_time()
        set_current(kind.current)
        try:
            value = await entry.message.handle(actor)
        except Refusal as refusal:
            self._refuse(entry, refusal)
        except Exception as error:  # told now rather than after the teardown; the crash takes its course
            entry.fail(crashed(self._mailbox.actor, error))
            raise
        else:
            entry.answer(value)
        self.flying = ()

    async def _many(self, actor: Any, entries: Sequence[Entry], kind: Kind) -> None:
        assert kind.handle_all is not None  # noqa: S101 -- for the type checker
        self.flying = entries
        self.since = trio.current_time()
        set_current(kind.current)
        try:
            outcomes = await kind.handle_all(actor, [entry.message for entry in entries])
            pairs = list(zip(entries, outcomes, strict=True))
        except Refusal as refusal:  # of the whole batch
            pairs = [(entry, Error(refusal)) for entry in entries]
        except Exception as error:  # told now, as above
            for entry in entries:
                entry.fail(crashed(self._mailbox.actor, error))
            raise
        self._crash_of([self._settle(*pair) for pair in pairs])
        self.flying = ()

    def _settle(self, entry: Entry, result: Outcome[Any]) -> BaseException | None:
        """Tell one asker of a batch; an error that is no refusal comes back, for it is a crash."""
        match result:
            case Value(value):
                entry.answer(value)
            case Error(Refusal() as refusal):
                self._refuse(entry, refusal)
            case Error(error):
                if isinstance(error, Exception):
                    entry.fail(crashed(self._mailbox.actor, error))
                return error
        return None

    def _crash_of(self, results: Sequence[BaseException | None]) -> None:
        errors = [error for error in results if error is not None]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("messages of one batch failed", errors)

    def _refuse(self, entry: Entry, refusal: Refusal) -> None:
        if entry.asked:
            entry.fail(refusal)
        else:
            self._report(Refused(self._mailbox.actor, type(entry.message).__name__, refusal))

    def _take_run(self) -> Sequence[Entry]:
        """Consecutive messages of one class; whoever waits for room moves up as they leave."""
        mailbox, entries = self._mailbox, [self._mailbox.take()]
        wanted = type(entries[0].message)
        while mailbox.queue and len(entries) < self._batch and type(mailbox.queue[0].message) is wanted:
            entries.append(mailbox.take())
        return entries

    def _kind(self, message_type: type) -> Kind:
        try:
            return self._kinds[message_type]
        except KeyError:
            return self._kinds.setdefault(message_type, Kind(self._mailbox.actor, message_type))
