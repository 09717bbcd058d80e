"""The shell of a session: event → decide → commit in one transaction → effects.

Its tasks wait for the runner's commits, due moments and channels. So the actor's mailbox loop, which only
stores, waits for none of them. The look loop alone reads `outbound.db`. The delivery task makes one attempt
at a time. Hints (typing, settled) are lost where a channel is down. `_decide` alone replaces the state.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from math import inf
from typing import TypeVar

import structlog
import trio
from attrs import Factory, define, field

from nanoclaw.channels.senders import Settled, Typing
from nanoclaw.records import Address, SessionStatus
from nanoclaw.session import events, needs, transactions
from nanoclaw.session.attempt import Attempter
from nanoclaw.session.core import decide
from nanoclaw.session.events import Effect, Event, Step
from nanoclaw.session.queue import Delivery
from nanoclaw.session.runner_supervisor import RunnerSupervisor
from nanoclaw.session.services import Services
from nanoclaw.session.state import Moment, Phase, SessionState
from nanoclaw.store import (
    Connection,
    HotJournal,
    StoreBusy,
    StoreError,
    UntrustedReader,
    Writer,
    deliveries,
    outbound,
)
from nanoclaw.store.messages_in import PLAUSIBLE_LEAD, OpenMessage
from nanoclaw.store.outbound import Look, look

T = TypeVar("T")

_log = structlog.get_logger()


@define(eq=False)
class Alarm:
    """The sleep of the look loop between two rounds."""

    _woken: trio.Event = Factory(trio.Event)
    _sleep: trio.CancelScope | None = None

    @property
    def asleep(self) -> bool:
        """Say whether the loop sleeps now."""
        return self._sleep is not None

    def wake(self) -> None:
        """Begin another round at once. Synchronous; only a hint."""
        self._woken.set()

    def begin_round(self) -> None:
        """Count only what happens from now on as a reason for another round."""
        self._woken = trio.Event()

    def set(self, seconds: float) -> None:
        """Change when the sleep under way ends."""
        if self._sleep is not None:
            self._sleep.deadline = trio.current_time() + seconds

    async def sleep(self, seconds: float) -> None:
        """Sleep until woken, at most for so long."""
        with trio.CancelScope(deadline=trio.current_time() + seconds) as self._sleep:
            await self._woken.wait()
        self._sleep = None


Hint = tuple[Address, Typing | Settled]


@define(eq=False)
class Outlets:
    """The ways from the look loop to the delivery task and to the hints task."""

    attempts: tuple[trio.MemorySendChannel[Delivery], trio.MemoryReceiveChannel[Delivery]] = field(
        factory=lambda: trio.open_memory_channel[Delivery](1)
    )
    hints: tuple[trio.MemorySendChannel[Hint], trio.MemoryReceiveChannel[Hint]] = field(
        factory=lambda: trio.open_memory_channel[Hint](inf)
    )


@define(eq=False)
class Shell:
    """Runs one session. `retire` lets its actor end, unless a message is coming in."""

    attempter: Attempter
    outbound: UntrustedReader
    supervisor: RunnerSupervisor
    retire: Callable[[], bool]
    state: SessionState
    alarm: Alarm = Factory(Alarm)
    closed: trio.Event = Factory(trio.Event)
    """Set when it is closing and no runner is left, so all is seen."""
    rested: trio.Event = Factory(trio.Event)
    """Set when it is ending and no attempt is in flight."""
    _outlets: Outlets = Factory(Outlets)
    _under_way: int = 0
    """Rounds and messages being stored: nobody retires meanwhile."""

    @property
    def services(self) -> Services:
        """The parts of the host that the session uses."""
        return self.attempter.services

    @property
    def inbound(self) -> Writer:
        """The writer of the session's own file."""
        return self.attempter.inbound

    # -- what happens to it; synchronous

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Keep the session from retiring while open."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def stored(self, messages: Iterable[OpenMessage]) -> None:
        """Follow messages that are on disk now; `tick` comes after it."""
        self._handle(events.Stored(tuple(messages)))

    def tasks_changed(self, opened: Iterable[OpenMessage], closed: Iterable[str]) -> None:
        """Follow an administrator's change of tasks; `tick` comes after it."""
        self._handle(events.TasksChanged(tuple(opened), tuple(closed)))

    def restart_runner(self) -> None:
        """Stop the runner; work starts another one, without waiting for a back-off."""
        self._handle(events.RestartAsked())

    def change_status(self, status: SessionStatus) -> None:
        """Follow the session's status in the central database; `wake` comes after it."""
        self._handle(events.StatusChanged(status))

    def adopt(self) -> None:
        """Take the runner that outlived the last host."""
        self._handle(events.Adopted())
        self.tick()

    def inbound_blocked(self) -> None:
        """Stop the runner, which keeps a commit to `inbound.db` waiting."""
        _log.warning("session.inbound_blocked", action="the runner is stopped")
        self._handle(events.InboundBlocked())

    def wake(self) -> None:
        """Look again: a commit, a death or a jump of the date may have happened. Only a hint."""
        self.alarm.wake()

    def tick(self) -> None:
        """Start, stop or retire what is due, and set the alarm."""
        self._handle(events.Ticked())
        if self.alarm.asleep and self.state.phase is Phase.OPEN:
            self.alarm.set(needs.sleep_s(self.state, self._now()))

    async def close(self, within_s: float) -> None:
        """Stop the runner, settle its last commits, finish the delivery in flight."""
        self._handle(events.Closing())
        with trio.move_on_after(within_s):
            await self.closed.wait()
        self._handle(events.Ending())
        if self.state.deliveries.queue.in_flight is None:
            self.rested.set()
        await self.rested.wait()

    # -- its tasks

    async def look_around(self) -> None:
        """Go round whenever woken and at the next due moment; return once closing and without a runner."""
        while not self._is_over():
            self.alarm.begin_round()
            await self._go_round()
            if not self._is_over():
                await self.alarm.sleep(needs.sleep_s(self.state, self._now()))
        self.closed.set()

    async def deliver(self) -> None:
        """Make the attempts that are handed over, until cancelled."""
        async for delivery in self._outlets.attempts[1]:
            await self._follow(events.Attempt(delivery))
            if self.state.phase is Phase.ENDING:
                self.rested.set()
            self.tick()

    async def give_hints(self) -> None:
        """Pass hints on, until cancelled."""
        async for address, hint in self._outlets.hints[1]:
            await self.services.senders.hint(address, hint)

    async def skip_old_rows(self) -> None:
        """Say nothing again that an `outbound.db` without its `inbound.db` has said before.

        Where that cannot be read yet, the first look does it.
        """
        newest = await self._read(outbound.newest)
        if isinstance(newest, int):
            await self._skip(newest)

    async def _skip(self, newest: int) -> None:
        if newest:
            await self.inbound.run(deliveries.skip, newest)
        self._handle(events.OldRowsSkipped(newest))

    def _is_over(self) -> bool:
        """Say whether all is seen: nobody has written since the last death was settled."""
        return self.state.phase is not Phase.OPEN and self.state.runner.absent

    async def _go_round(self) -> None:
        with self.under_way():
            await self._follow(self._decide(events.RoundBegan(self.supervisor.heartbeat())))
            self.tick()
            if needs.waits_alone(self.state, self._now()):
                await self._rest()
        self._handle(events.RoundEnded())

    async def _rest(self) -> None:
        """Close the files, which may be idle for weeks: their caches are most of a session's memory."""
        await self.outbound.reopen()
        await self.inbound.rest()

    # -- event, decision, commit, effects

    def _now(self) -> Moment:
        return Moment(self.services.clock.now(), trio.current_time())

    def _decide(self, event: Event) -> Step | None:
        """Replace the state and carry out the effects; returns the step that is next."""
        decisions = decide(self.state, event, self._now())
        self.state = decisions.state
        for effect in decisions.effects:
            self._carry_out(effect)
        return decisions.step

    def _handle(self, event: Event) -> None:
        """Decide about an event that needs no step."""
        step = self._decide(event)
        assert step is None, step  # noqa: S101 -- only rounds and attempts have steps

    async def _follow(self, step: Step | None) -> None:
        """Take the step and all that follow from it."""
        while step is not None:
            step = self._decide(await self._take(step))

    async def _take(self, step: Step) -> Event:
        """Take one step.

        Raises:
            StoreError: `inbound.db` cannot be written, so this incarnation has to end.
        """
        run = self.inbound.run
        match step:
            case events.ReadOutbound():
                return await self._read_outbound()
            case events.Settle(settlement, now):
                settled = await run(transactions.settle, settlement, now, self.state.rules.zone)
                return events.Committed(step, settled)
            case events.TellOfDelay(waiting, reason):
                return events.DelayTold(await run(transactions.tell_of_delay, waiting, reason))
            case events.Finish(finished, begun, now):
                return events.FinishCommitted(step, await run(transactions.finish, finished, begun, now))
            case events.Attempt(delivery):
                return events.Attempted(*await self.attempter.attempt(delivery))

    async def _read_outbound(self) -> Event:
        if self.state.outbound.skip_old:
            newest = await self._read(outbound.newest)
            if not isinstance(newest, int):
                return newest
            await self._skip(newest)
        seen = await self._read(self._query())
        return events.Looked(seen) if isinstance(seen, Look) else seen

    async def _read(
        self, query: Callable[[Connection], T]
    ) -> T | events.FileHot | events.FileLocked | events.FileDamaged:
        try:
            return await self.outbound.run(query)
        except HotJournal as error:
            return events.FileHot(str(error))
        except StoreBusy as error:
            return events.FileLocked(str(error))
        except StoreError as error:
            return events.FileDamaged(str(error))

    def _query(self) -> Callable[[Connection], Look]:
        """Name what to read: without room for more rows still the acks."""
        messages, kept = self.state.messages, self.state.deliveries
        room = kept.queue.room
        return partial(
            look,
            above=kept.seen_seq,
            up_to=messages.own_seq + PLAUSIBLE_LEAD if room else kept.seen_seq,
            open_ids=messages.ids(self.services.clock.now()),
            known_ids=kept.unread_rows() if room else (),
        )

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case events.StartRunner():
                self.supervisor.start(self._handle)
            case events.StopRunner():
                self.supervisor.stop()
            case events.RecoverOutbound():
                self.supervisor.recover(self._handle)
            case events.HandOver(delivery):
                self._outlets.attempts[0].send_nowait(delivery)
            case events.Wake():
                self.alarm.wake()
            case events.Retire():
                if not self._under_way:
                    self.retire()
            case _:
                self._tell(effect)

    def _tell(self, effect: Effect) -> None:
        services, session_id = self.services, self.attempter.conversation.session.id
        match effect:
            case events.ShowTyping(address):
                self._outlets.hints[0].send_nowait((address, Typing(address)))
            case events.TellSettled(address, platform_message_id, outcome):
                self._outlets.hints[0].send_nowait((address, Settled(address, platform_message_id, outcome)))
            case events.NotePresence(status, idle_s):
                last_active = services.clock.now() - timedelta(seconds=idle_s)
                services.presences.note(session_id, container_status=status, last_active=last_active)
            case events.TellLooked(seen, now):
                services.observer.looked(session_id, seen, now)
            case events.TellQuarantined(reason):
                services.observer.quarantined(session_id, reason)
            case events.Log(level, event, fields):
                getattr(_log, level)(event, **fields)
