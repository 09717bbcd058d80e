"""The reconciler of a session: looks at what the runner committed, settles it, and sees to what is next.

A child task of the session actor, woken by commits, deaths and due moments. It alone reads `outbound.db`,
so an unreadable one never delays a message that comes in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from math import inf

import structlog
import trio
from attrs import Factory, define, field

from nanoclaw.channels.protocol import Outcome
from nanoclaw.records import ContainerStatus, SessionStatus
from nanoclaw.session import record, recurrence
from nanoclaw.session.deliverer import Deliverer
from nanoclaw.session.keeper import STUCK_S, SWEEP_S, Keeper
from nanoclaw.session.pending import Completed, Pending, Retry
from nanoclaw.session.record import Settlement
from nanoclaw.session.services import Services
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

BLIND_S = 1.0
"""After this it looks again, if what it looked at could not be read."""
TICK_S = 0.001
"""It sleeps no shorter: what is left over by rounding may be too little for the clock to move at all."""

_log = structlog.get_logger()


@define(eq=False)
class Reconciler:
    """The state of one session's reconciliation. `retire` is tried when nothing is left to do."""

    services: Services
    session_id: str
    status: SessionStatus
    inbound: Writer
    outbound: UntrustedReader
    pending: Pending
    keeper: Keeper
    deliverer: Deliverer
    own_seq: int
    retire: Callable[[], bool]
    begun_anew: bool = False
    """Whether `inbound.db` is new beside an old `outbound.db`."""
    quarantined: str | None = None
    unreadable: str | None = None
    """Why the last look saw nothing: a lock or a hot journal was in the way."""
    ignored: str | None = None
    """One of the things in `outbound.db` that are never read."""
    closed: trio.Event = Factory(trio.Event)
    _closing: bool = False
    _woken: trio.Event = Factory(trio.Event)
    _sleep: trio.CancelScope | None = None
    """While it sleeps."""
    _active_at: float = field(factory=trio.current_time)
    _swept_at: float = field(factory=trio.current_time)
    """When the last round began, or there was something to sweep for again."""
    _useful: bool = False
    """Whether the runner has settled or sent anything since it started."""
    _tool_timeout_s: float = 0.0
    _recovered: bool = False
    """Whether a recovery has ended since the last look that saw something."""
    _acquainted: bool = False
    """Whether it has looked for what the last runner had claimed: none of that is the next one's doing."""
    _unclaimed_since: float | None = None
    """Since when work waits for the living runner, which has claimed nothing."""
    _unseen: bool = False
    """Whether rows wait to be read until there is room for them."""
    outdated: bool = False
    """Whether `outbound.db` is another build's: a runner has to be started to bring it up to date."""
    _told: tuple[ContainerStatus, float] = field(
        init=False, default=Factory(lambda self: ("stopped", self._active_at), takes_self=True)
    )
    """What the central database was last told of this session."""
    _under_way: int = 0
    """Rounds and messages being stored: nobody retires meanwhile."""

    def wake(self) -> None:
        """Something may have happened: a commit, a death, a finished delivery. Synchronous; only a hint."""
        self._woken.set()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While open, the session does not retire."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def stored(self, messages: Iterable[OpenMessage]) -> None:
        """Messages that are on disk now; `carry_on` follows."""
        if not self._watched():
            self._swept_at = trio.current_time()
        self.told(messages)
        self._active_at = trio.current_time()

    def told(self, messages: Iterable[OpenMessage]) -> None:
        """Messages that the host itself has stored, or tasks that changed."""
        for message in messages:
            self.pending.add([message])
            self.own_seq = max(self.own_seq, message.seq)

    async def run(self) -> None:
        """Go round whenever woken and at the next due moment; return once closed and without a runner."""
        while not self._ended():
            self._woken = trio.Event()
            await self._go_round()
            if not self._ended():
                with trio.CancelScope(deadline=trio.current_time() + self._sleep_s()) as self._sleep:
                    await self._woken.wait()
                self._sleep = None
        self.closed.set()

    def _ended(self) -> bool:
        """Whether it is closed and all is seen: nobody has written since the last death was settled."""
        return self._closing and self.keeper.state == "absent"

    def close(self) -> None:
        """Start no more runners, stop the one there is; `closed` follows when what it left is settled."""
        self._closing = True
        self.keeper.stop("shutdown")
        self.wake()

    def change_status(self, status: SessionStatus) -> None:
        """The session was paused, archived or made active again; `wake` follows."""
        self.status = status
        if status != "active":
            self.keeper.stop("shutdown")

    async def _go_round(self) -> None:
        """One round."""
        self._swept_at = trio.current_time()
        with self.under_way():
            self.keeper.watch(claims=bool(self.pending.claimed), tool_timeout_s=self._tool_timeout_s)
            self._stop_if_idle_at_work()
            dead = self.keeper.state == "dead"  # before the look: a runner may answer, and die, during it
            if await self._looked():
                self._acquainted = True
                if dead:
                    await self._settle_death()
            self.carry_on()
            if self._waits_alone():
                await self._rest()
        self._note_claiming()
        if self._finished() and not self._closing:
            self.retire()

    def _stop_if_idle_at_work(self) -> None:
        """Stop a runner that lets work lie: without a claim it has no heartbeat to be judged by."""
        self._note_claiming()
        since = self._unclaimed_since
        if since is not None and trio.current_time() - since > STUCK_S:
            _log.error("session.runner_claims_nothing", after_s=STUCK_S)
            self.keeper.stop("stuck")

    def _note_claiming(self) -> None:
        """Also after a look: what was claimed and done by then is not what lies at the next one."""
        if self.keeper.container_status != "running" or self.pending.claimed or not self._wanted():
            self._unclaimed_since = None
        elif self._unclaimed_since is None:
            self._unclaimed_since = trio.current_time()

    async def _rest(self) -> None:
        """Without a runner the files may be idle for weeks: their caches are most of a session's memory."""
        await self.outbound.reopen()
        await self.inbound.rest()

    async def _looked(self) -> bool:
        """Look at all there is to see; False while a lock or a hot journal is in the way.

        Raises:
            StoreError: of `inbound.db`: what was seen cannot be committed, so this incarnation has to end.
        """
        recovering = self.keeper.state == "recovering"
        while self.quarantined is None and not recovering:
            asked = self.deliverer.unread() if self.deliverer.queue.room else ()
            seen = await self._seen(asked)
            if seen is None:
                break
            self.outdated = seen.outdated
            if seen.outdated:
                break
            self._recovered = False
            are_many = self.pending.are_many
            judged = await self._take(seen)
            self._unseen = seen.more
            if not ((seen.more and self.deliverer.queue.room) or (judged and are_many)):
                break
        if self.quarantined or self.unreadable or self.outdated or recovering:
            await self._go_on()
        return self.unreadable is None and not recovering

    async def _go_on(self) -> None:
        """What was read before goes on its way all the same: while it is due and lies, nobody sleeps."""
        now, claimed = self.services.clock.now(), frozenset(self.pending.claimed)
        actions = self.deliverer.take_actions(now)
        await self._commit(Settlement(actions=actions, claimed=claimed, begun=self.deliverer.take(now)), now)

    async def _seen(self, asked: Sequence[str]) -> Look | None:
        """What the runner committed; None where that cannot be read."""
        self.unreadable = None
        try:
            await self._take_over()
            return await self.outbound.run(self._look(asked))
        except HotJournal as error:
            self.unreadable = str(error)
            # A living runner rolls it back; without one, it is run once for that (contract 6).
            if self.keeper.state in {"absent", "dead"} and self.keeper.may_start():
                self._recover()
        except StoreBusy as error:
            self.unreadable = str(error)
            _log.warning("session.outbound_locked", reason=str(error))
        except StoreError as error:
            self._quarantine(error)
        return None

    async def take_over(self) -> None:
        """At birth: say nothing again that an `outbound.db` without its `inbound.db` has said before."""
        with suppress(StoreError):  # the first look meets the same, and sees to it
            await self._take_over()

    async def _take_over(self) -> None:
        if not self.begun_anew:
            return
        newest = await self.outbound.run(outbound.newest)
        if newest:
            await self.inbound.run(deliveries.skip, newest)
            self.deliverer.seen_seq = newest
            _log.warning("session.old_replies_skipped", up_to=newest)
        self.begun_anew = False

    def _recover(self) -> None:
        """Have the journal rolled back; where that was of no use, later and later."""
        if self._recovered:
            self.keeper.count_failure("outbound.db still has a hot journal after its recovery")
        else:
            self.keeper.recover(self.wake)
        self._recovered = not self._recovered

    def _look(self, asked: Sequence[str]) -> Callable[[Connection], Look]:
        """What to read: without room for more rows still the acks."""
        seen, room = self.deliverer.seen_seq, self.deliverer.queue.room
        return partial(
            look,
            above=seen,
            up_to=self.own_seq + PLAUSIBLE_LEAD if room else seen,
            open_ids=self.pending.ids(self.services.clock.now()),
            known_ids=asked,
        )

    async def _take(self, seen: Look) -> bool:
        """Judge what was seen, commit the judgement with the attempt that starts, then act on it.

        Returns whether something was decided.
        """
        now = self.services.clock.now()
        self.services.onlooker.looked(self.session_id, seen, now)
        before = set(self.pending.claimed)
        verdicts = self.pending.judge(seen.acks, now)
        doubts = self.deliverer.reread(seen, now)
        rows = self.deliverer.add(seen.rows, self.pending.messages, now)
        self._tool_timeout_s, self.ignored = seen.tool_timeout_s, self._checked(seen.ignored)
        if verdicts:
            self._unclaimed_since = None  # claimed and done between two looks
        if verdicts or seen.rows:
            self._useful, self._active_at = True, trio.current_time()
        settlement = Settlement(
            verdicts,
            rows,
            doubts,
            actions=self.deliverer.take_actions(now),
            missed=self.pending.has_missed(now - recurrence.MISSED_AFTER),
            claimed=frozenset(self.pending.claimed),
            begun=self.deliverer.take(now),
        )
        await self._commit(settlement, now)
        for claimed in [id_ for id_ in self.pending.claimed if id_ not in before]:
            self.deliverer.show_typing(self.pending.messages[claimed].address)
        return bool(verdicts)

    def _checked(self, ignored: str | None) -> str | None:
        if ignored is not None and self.ignored is None:
            _log.warning("session.rows_ignored", reason=ignored)
        return ignored

    async def _commit(self, settlement: Settlement, now: datetime | None = None) -> None:
        """Commit it, as judged `now`, and act on it."""
        if not settlement:
            return
        now, zone = now or self.services.clock.now(), self.services.config.timezone
        settled = await self.inbound.run(record.settle, settlement, now, zone)
        self.pending.apply(settlement.verdicts)
        self.pending.remove(settled.closed)
        self.told(settled.opened)
        self.deliverer.say(settled.notices)
        self.deliverer.put_back(settled.refused)
        for verdict in settlement.verdicts:
            if not isinstance(verdict, Retry):
                outcome: Outcome = "completed" if isinstance(verdict, Completed) else "failed"
                self.deliverer.settle(verdict.message, outcome)
        self.deliverer.go(settlement.begun)
        if settled.notices or settled.refused:
            self.wake()

    async def _settle_death(self) -> None:
        """The runner is gone and its last acks are judged: what it left unfinished costs a try."""
        death, lived = self.keeper.death, self.keeper.lived
        idle = not (lived and self.pending.own_claims())
        if death is not None and lived and not self.keeper.asked_to_go():
            reason = death.reason.partition("\n")[0]
            verdicts = self.pending.judge_death(reason, self.services.clock.now())
            await self._commit(Settlement(verdicts))
        self.pending.claimed.clear()
        self.keeper.settled(useful=self._useful)
        self._useful = False
        if idle and self.keeper.failures == self.services.config.retry.max_tries:
            await self._tell_of_delay()

    async def _tell_of_delay(self) -> None:
        """No runner gets as far as a message: whoever waits for an answer is told, and waits on."""
        now, reason = self.services.clock.now(), (self.keeper.last_failure or "").partition("\n")[0]
        notices = await self.inbound.run(record.tell_of_delay, self.pending.waiting(now), reason)
        self.deliverer.say(notices)
        if notices:
            self.wake()

    def _quarantine(self, error: StoreError) -> None:
        """A file that cannot be trusted costs its session, not the host: nothing more is read or started."""
        self.quarantined = str(error)
        self.services.onlooker.quarantined(self.session_id, str(error))
        self.keeper.stop("quarantine")
        _log.error("session.quarantined", reason=str(error))

    # -- what is next; synchronous

    def carry_on(self) -> None:
        """Start a runner if there is work for one, stop one that is idle, or retire; set the alarm."""
        keeper = self.keeper
        self._tell_presence()
        if self._closing:
            return
        if self._unseen and self.deliverer.queue.room:
            self.wake()
        if keeper.state == "absent" and self._acquainted and self._wanted() and keeper.may_start():
            self._active_at = trio.current_time()
            self.pending.begin_runner()
            keeper.start(self.wake)
        elif keeper.state == "running" and self._left_s(watched=self._watched()) <= 0:
            keeper.stop("idle")
        elif self._finished():
            self.retire()
        if self._sleep is not None:
            self._sleep.deadline = trio.current_time() + self._sleep_s()

    def _tell_presence(self) -> None:
        status, active_at = self.keeper.container_status, self._active_at
        if (status, active_at) != self._told:
            self._told = (status, active_at)
            idle = timedelta(seconds=trio.current_time() - active_at)
            now = self.services.clock.now()
            self.services.presences.note(self.session_id, container_status=status, last_active=now - idle)

    def _wanted(self) -> bool:
        """Whether a runner has something to do, and may."""
        if self.quarantined is not None or self.status != "active":
            return False
        return self.outdated or (
            bool(self.pending.messages) and self.pending.wanted(self.services.clock.now())
        )

    def _watched(self) -> bool:
        """Whether a runner has something to do, which it might let lie."""
        return bool(self.pending.claimed) or self._wanted()

    def _left_s(self, *, watched: bool) -> float:
        """Seconds until a runner has been idle for too long."""
        limit = self.services.config.runtime.idle_s
        return limit if watched else self._active_at + limit - trio.current_time()

    def _waits_alone(self) -> bool:
        """Whether the session lives on for something later, without a runner or a delivery until then."""
        alone = self.keeper.state == "absent" and self.deliverer.queue.in_flight is None
        return alone and not self._done() and not (self._wanted() and self.keeper.may_start())

    def _finished(self) -> bool:
        """Whether the session could as well not live: nothing open, nobody running, nothing under way."""
        return self.keeper.state == "absent" and not self._under_way and self._done()

    def _done(self) -> bool:
        return self.deliverer.idle and (self.status != "active" or self.pending.rests())

    def _sleep_s(self) -> float:
        """Seconds to the next due moment."""
        now = self.services.clock.now()
        moments = [self.deliverer.queue.next_due(now)]
        waits = [BLIND_S if self.unreadable else inf]
        if self.keeper.state == "running":
            # From the last round on: what else happens, such as deliveries, puts no sweep off.
            watched = self._watched()
            interval = SWEEP_S if watched else self.services.config.runtime.slow_poll_s
            waits.append(self._swept_at + interval - trio.current_time())
            if not self.keeper.stopping:
                waits.append(self._left_s(watched=watched))
        elif self.quarantined is None:
            moments.append(self.pending.next_due(now))
            if self._held_up():
                waits.append(self.keeper.not_before - trio.current_time())
        waits += [(moment - now).total_seconds() for moment in moments if moment is not None]
        shortest = min(waits)
        return max(shortest, TICK_S) if shortest > 0 else 0.0

    def _held_up(self) -> bool:
        """Whether only the back-off keeps a runner from being started, or did when one looked last."""
        if self.keeper.state == "dead":
            return not self.keeper.may_start()
        return self.keeper.state == "absent" and self._wanted()
