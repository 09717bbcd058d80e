"""The shell of a session: event → decide → commit in one transaction → effects.

Its tasks wait for the runner's commits, due times and channels. So the actor's mailbox loop, which only
stores, waits for none of these. Only the look loop reads `outbound.db`. The delivery task makes one attempt
at a time. Hints (typing, settled, drafts) are lost if a channel is down. Only `_decide` replaces the state.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import TypeVar

import structlog
import trio
from attrs import Factory, define, field

from nanoclaw.budgets import OpenBreaker
from nanoclaw.channels.chat_sender import Typing
from nanoclaw.records import Address, SessionStatus
from nanoclaw.session import decisions, events, finishing, needs, notices, transactions
from nanoclaw.session.comparing import Comparison, History, compare
from nanoclaw.session.core import decide
from nanoclaw.session.decisions import Step
from nanoclaw.session.dispatch import Dispatch, Source
from nanoclaw.session.drafts import Drafts
from nanoclaw.session.effects import Effects
from nanoclaw.session.events import Event
from nanoclaw.session.places import Use
from nanoclaw.session.state import Moment, Phase, SessionState
from nanoclaw.store import (
    Connection,
    Exhausted,
    HotJournal,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    UntrustedReader,
    Writer,
)
from nanoclaw.store.session import outbound
from nanoclaw.store.session.messages_in import PLAUSIBLE_LEAD, OpenMessage
from nanoclaw.store.session.outbound import Look, MessageOut, Standing, look
from nanoclaw.system.clock import Clock

T = TypeVar("T")
Unreadable = events.FileHot | events.FileLocked | events.FileUnavailable | events.FileDamaged
"""The reason why `outbound.db` cannot be read now."""

_log = structlog.get_logger()


@define(eq=False)
class Shell:
    """Runs one session."""

    clock: Clock
    dispatch: Dispatch
    source: Source
    """The session, for the dispatcher."""
    outbound: UntrustedReader
    effects: Effects
    state: SessionState
    closed: trio.Event = Factory(trio.Event)
    """Set when it is closing, no runner is left, and all its rows were read."""
    attempts_done: trio.Event = Factory(trio.Event)
    """Set when it is ending, and no attempt is in flight."""
    _looks: int = field(init=False, default=0)
    """Counts the beginnings and ends of looks, so it is odd during one."""
    drafts: Drafts = field(init=False, default=Factory(lambda self: self._drafts(), takes_self=True))

    def _drafts(self) -> Drafts:
        services = self.effects.services
        file = self.source.conversation.paths(services.config).draft
        return Drafts(file, services.senders, lambda: self.state)

    @property
    def inbound(self) -> Writer:
        """The writer of the session's own file."""
        return self.source.inbound

    # -- events from outside; synchronous

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Keep the session from retiring while open.

        A runner may answer a message before the state knows it, and a look then does not read its ack. So if
        there was a look meanwhile, another one follows.
        """
        before = self._looks
        with self.effects.under_way():
            yield
            if before % 2 or self._looks != before:
                self.wake()

    def stored(self, messages: Iterable[OpenMessage]) -> None:
        """Apply messages that are on disk. Call `tick` next."""
        self._handle(events.Stored(tuple(messages)))

    def tasks_changed(self, opened: Iterable[OpenMessage], closed: Iterable[str]) -> None:
        """Apply an administrator's change of tasks. Call `tick` next."""
        self._handle(events.TasksChanged(tuple(opened), tuple(closed)))

    def restart_runner(self) -> None:
        """Stop the runner. If there is work, another one starts without a back-off."""
        self._handle(events.RestartAsked())

    def renew_runner(self) -> None:
        """Have the runner start again after its turn, because its configuration has changed."""
        self._handle(events.RenewalAsked())

    def release(self, *, between_turns: bool = False) -> None:
        """Stop a runner without work, or between two turns, because others need what it holds."""
        self._handle(events.ReleaseAsked(between_turns))

    def use_of_place(self) -> Use:
        """Return the use that the session makes of its place among the running sandboxes."""
        idle = needs.is_idle(self.state, self._now())
        in_turn = not needs.is_between_turns(self.state)
        return Use(self.state.activity.active_at if idle else None, in_turn)

    def change_status(self, status: SessionStatus) -> None:
        """Apply the session's status from the central database. Call `wake` next."""
        self._handle(events.StatusChanged(status))

    def change_breaker(self, breaker: OpenBreaker | None) -> None:
        """Apply the open breaker that holds the session, or None. Call `tick` next."""
        self._handle(events.BreakerChanged(breaker))

    def notices_added(self, rows: Sequence[MessageOut]) -> None:
        """Deliver notices that are on disk."""
        self._handle(events.NoticesAdded(rows))

    def adopt(self) -> None:
        """Adopt the runner that outlived the last host."""
        self._handle(events.Adopted())
        self.tick()

    def attended(self, address: Address) -> None:
        """Deliver what was held because nobody was there."""
        self._handle(events.Attended(address))

    def inbound_blocked(self) -> None:
        """Stop the runner, because it blocks a commit to `inbound.db`."""
        _log.warning("session.inbound_blocked", action="the runner is stopped")
        self._handle(events.InboundBlocked())

    def wake(self) -> None:
        """Begin another round: a commit, a death or a jump of the date may have happened."""
        self.effects.alarm.wake()

    def tick(self) -> None:
        """Start, stop or retire what is due, and set the alarm."""
        self._handle(events.Ticked())
        if self.effects.alarm.asleep and self.state.phase is Phase.OPEN:
            self.effects.alarm.set(needs.sleep_s(self.state, self._now()))

    async def close(self, within_s: float) -> None:
        """Stop the runner, settle its last commits, and finish the delivery in flight."""
        self._handle(events.Closing())
        with trio.move_on_after(within_s):
            await self.closed.wait()
        self._handle(events.Ending())
        if self.state.deliveries.queue.in_flight is None:
            self.attempts_done.set()
        await self.attempts_done.wait()

    # -- its tasks

    async def run_rounds(self) -> None:
        """Run a round at each wake-up and due time. Return when closing and no runner is left."""
        while not self._is_over():
            self.effects.alarm.begin_round()
            await self._run_round()
            if not self._is_over():
                await self.effects.alarm.sleep(needs.sleep_s(self.state, self._now()))
        self.closed.set()

    async def deliver(self) -> None:
        """Make the attempts that the look loop hands over, until cancelled."""
        async for delivery in self.effects.outlets.attempts[1]:
            await self._follow(decisions.Attempt(delivery))
            if self.state.phase is Phase.ENDING:
                self.attempts_done.set()
            self.tick()

    async def send_hints(self) -> None:
        """Send hints to channels, until cancelled. Typing is repeated while a runner works."""
        hints, senders = self.effects.outlets.hints[1], self.effects.services.senders
        while True:
            with trio.move_on_after(needs.typing_again_s(self.state)) as waiting:
                address, hint = await hints.receive()
                waiting.deadline = inf
                await senders.hint(address, hint)
            if waiting.cancelled_caught:
                for address in needs.typing_in(self.state):
                    await senders.hint(address, Typing(address))

    async def compare_files(self) -> Unreadable | None:
        """Compare the session's files, of which one may have been restored alone.

        If `outbound.db` cannot be read yet, the event is returned, and the next look compares them.
        """
        seen, history = self.state.deliveries.seen_seq, self.state.outbound.history
        standing = await self._read(partial(outbound.standing, above=seen))
        if not isinstance(standing, Standing):
            return standing
        comparison = Comparison(self.state.restored)
        if history is not History.MARKED or standing.newest < seen:
            open_ids, now = list(self.state.deliveries.unread), self.clock.now()
            comparison = await self.inbound.run(compare, history, standing, open_ids, now)
        self._handle(events.FilesCompared(comparison))
        return None

    def _is_over(self) -> bool:
        """Return True if all rows were read: nothing was written since the last death was settled."""
        return self.state.phase is not Phase.OPEN and self.state.runner.absent

    async def _run_round(self) -> None:
        with self.effects.under_way():
            await self._follow(self._decide(events.RoundBegan(self.effects.supervisor.heartbeat())))
            self.tick()
            if needs.waits_alone(self.state, self._now()) or needs.idles(self.state, self._now()):
                await self._close_files()
        self._handle(events.RoundEnded())
        self.drafts.round_ended()
        self.effects.services.places.reconsider()

    async def _close_files(self) -> None:
        """Close the files, which may be idle for weeks: their caches are most of a session's memory."""
        await self.outbound.reopen()
        await self.inbound.rest()

    # -- event, decision, commit, effects

    def _now(self) -> Moment:
        return Moment(self.clock.now(), trio.current_time())

    def _decide(self, event: Event) -> Step | None:
        """Replace the state and carry out the effects. Return the next step."""
        decided = decide(self.state, event, self._now())
        self.state = decided.state
        for effect in decided.effects:
            self.effects.carry_out(effect, self._handle)
        return decided.step

    def _handle(self, event: Event) -> None:
        """Decide about an event that has no step."""
        step = self._decide(event)
        assert step is None, step  # noqa: S101 -- only rounds and attempts have steps

    async def _follow(self, step: Step | None) -> None:
        """Take the step and all its next steps."""
        while step is not None:
            step = self._decide(await self._take(step))

    async def _take(self, step: Step) -> Event:
        """Take one step.

        Raises:
            StoreError: `inbound.db` cannot be written. This incarnation must end.
        """
        run = self.inbound.run
        match step:
            case decisions.ReadOutbound():
                self._looks += 1
                try:
                    return await self._read_outbound()
                finally:
                    self._looks += 1
            case decisions.Settle(settlement, now):
                rules = self.state.rules
                settled = await run(transactions.settle, settlement, now, rules.zone, rules.host_actions)
                return events.Committed(step, settled)
            case decisions.TellOfDelay(waiting, reason):
                return events.DelayTold(await run(notices.tell_of_delay, waiting, reason))
            case decisions.TellOfBreaker(waiting, breaker):
                key = f"{breaker.kind}-{breaker.key}"
                told = await run(notices.tell_of_breaker, waiting, key, breaker.notice)
                return events.BudgetTold([message.address for message in waiting], told)
            case decisions.Finish(finished, begun, now):
                return events.FinishCommitted(step, await run(finishing.finish, finished, begun, now))
            case decisions.Attempt(delivery):
                self.drafts.delivering(delivery)
                return events.Attempted(*await self.dispatch.attempt(self.source, delivery))

    async def _read_outbound(self) -> Event:
        if self.state.outbound.history is not History.COMPARED:
            obstacle = await self.compare_files()
            if obstacle is not None:
                return obstacle
        seen = await self._read(self._query())
        return events.Looked(seen) if isinstance(seen, Look) else seen

    async def _read(self, query: Callable[[Connection], T]) -> T | Unreadable:
        try:
            return await self.outbound.run(query)
        except HotJournal as error:
            return events.FileHot(str(error))
        except StoreBusy as error:
            return events.FileLocked(str(error))
        except StoreUnavailable as error:
            if isinstance(error, Exhausted):
                self.effects.services.shortage.tell()
            return events.FileUnavailable(str(error))
        except StoreError as error:
            return events.FileDamaged(str(error))

    def _query(self) -> Callable[[Connection], Look]:
        """Return the query of the next look. Without room for more rows, it still reads the acks."""
        messages, deliveries_ = self.state.messages, self.state.deliveries
        room = deliveries_.queue.room
        return partial(
            look,
            above=deliveries_.seen_seq,
            up_to=messages.own_seq + PLAUSIBLE_LEAD if room else deliveries_.seen_seq,
            open_ids=messages.ids(self.clock.now()),
            known_ids=deliveries_.unread_rows() if room else (),
        )
