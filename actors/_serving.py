"""The loop of one incarnation: it takes messages from the mailbox and calls their handlers."""

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
    """Handles the content of a mailbox: all pending signals, one run of messages, and so on in turn.

    `in_flight` are the entries being handled, since `since` on trio's clock.
    """

    __slots__ = ("_batch", "_kinds", "_mailbox", "_report", "in_flight", "since")

    def __init__(self, mailbox: Mailbox, batch: int, report: Callable[[Event], None]) -> None:
        self._mailbox = mailbox
        self._batch = batch
        self._report = report
        self._kinds: dict[type, Kind] = {}
        self.in_flight: Sequence[Entry] = ()
        self.since = 0.0

    @property
    def message(self) -> str | None:
        """The type name of the message in flight."""
        return type(self.in_flight[0].message).__name__ if self.in_flight else None

    def fail_in_flight(self, error: Callable[[], Exception]) -> None:
        """Fail every entry in flight. Each asker gets an error object of its own."""
        entries, self.in_flight = self.in_flight, ()
        for entry in entries:
            entry.fail(error())

    async def serve(self, actor: Any) -> None:
        """Handle messages until the mailbox is shut. Raise any handler's error that is not a `Refusal`."""
        mailbox = self._mailbox
        while mailbox.shut_for is None:
            if mailbox.signals:
                await self._signals(actor)
            if mailbox.queue:
                await self._messages(actor)
            if mailbox.queue or mailbox.signals:
                await checkpoint()  # a handler may return without yielding, and other tasks must run
            elif mailbox.shut_for is None:
                await mailbox.wait()

    async def _signals(self, actor: Any) -> None:
        """Handle the signals pending now. Later signals wait for one run of messages."""
        signals = self._mailbox.signals
        for _ in range(len(signals)):
            if not signals:  # a handler shut the mailbox
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
        self.in_flight = (entry,)
        self.since = trio.current_time()
        set_current(kind.current)
        try:
            value = await entry.message.handle(actor)
        except Refusal as refusal:
            self._refuse(entry, refusal)
        except Exception as error:  # the asker is told now, not after the teardown
            entry.fail(crashed(self._mailbox.actor, error))
            raise
        else:
            entry.answer(value)
        self.in_flight = ()

    async def _many(self, actor: Any, entries: Sequence[Entry], kind: Kind) -> None:
        assert kind.handle_all is not None  # noqa: S101 -- for the type checker
        self.in_flight = entries
        self.since = trio.current_time()
        set_current(kind.current)
        try:
            outcomes = await kind.handle_all(actor, [entry.message for entry in entries])
            pairs = list(zip(entries, outcomes, strict=True))
        except Refusal as refusal:  # the whole batch is refused
            pairs = [(entry, Error(refusal)) for entry in entries]
        except Exception as error:  # as above: told now
            for entry in entries:
                entry.fail(crashed(self._mailbox.actor, error))
            raise
        self._raise_any([self._settle(*pair) for pair in pairs])
        self.in_flight = ()

    def _settle(self, entry: Entry, result: Outcome[Any]) -> BaseException | None:
        """Answer one asker of a batch. Return an error that is no refusal: it crashes the actor."""
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

    def _raise_any(self, results: Sequence[BaseException | None]) -> None:
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
        """Take consecutive messages of one class. Senders that wait for room move up as these leave."""
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
