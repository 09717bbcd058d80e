"""The desk: the durable worker of approvals. It follows the rows of `v2.db`. All that must last is there.

It shows approvals to the people who may decide, expires them, carries out decisions outside of the central
database, tells the sessions that asked, and edits the cards. Each step is one row that is not done yet. So a
crash at any point repeats the step, and each step can be repeated.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import structlog
import trio
from attrs import Factory, define, field, frozen

from actors import ActorError, Ref, Refusal
from nanoclaw.approvals import words
from nanoclaw.approvals.catalogue import ApprovalKinds
from nanoclaw.approvals.deciding import as_json
from nanoclaw.approvals.kind import Effects, HasEffects
from nanoclaw.approvals.reach import Networks, Plan, Search, plan
from nanoclaw.approvals.showing import CardSender, Shown
from nanoclaw.channels.protocol import DeliveryRejected
from nanoclaw.channels.senders import Senders
from nanoclaw.records import Address, ApprovalAsker, ApprovalCard, PendingApproval, outcome_id
from nanoclaw.registry import (
    ActionRefused,
    AddCards,
    Changes,
    EnsureChat,
    ExpireApprovals,
    FinishApproval,
    NoteDm,
    OutcomeTold,
    PruneApprovals,
    Registry,
)
from nanoclaw.session import Conversation, SessionDown, Sessions
from nanoclaw.session.conversations import conversation
from nanoclaw.store import Connection, DamagedRow, Reader, StoreError
from nanoclaw.store.central import approval_askers, approval_cards, pending_approvals, sessions, users
from nanoclaw.store.session.messages_in import NewMessage
from nanoclaw.system.clock import Clock
from nanoclaw.system.foreign import ForeignError, foreign_code, result_of, text_of

MAX_AT_ONCE = 16
"""Limit of the steps under way."""
AGAIN_S = (5.0, 30.0, 60.0, 300.0)
"""Delays in seconds after failures of a step, other than attempts of cards."""
REFUSED_FOR_S = 86_400.0
"""Time in seconds for which a channel is not asked again for a direct chat that it refused."""
KEPT = timedelta(days=90)
"""Time for which decided approvals are kept."""
PRUNE_EVERY_S = 86_400.0

Key = tuple[str, ...]
Step = Callable[[], Awaitable[None]]

_log = structlog.get_logger()


@frozen
class Telling:
    """A session that must be told an outcome. `who` is None if it cannot be told any more."""

    asker: ApprovalAsker
    approval: PendingApproval
    who: Conversation | None


@frozen
class Work:
    """Everything that is not done, as one read found it."""

    next_expiry: datetime | None
    plans: Mapping[str, Plan]
    """What is missing for each pending approval."""
    cards: Sequence[Shown]
    unfinished: Sequence[PendingApproval]
    tellings: Sequence[Telling]
    prunable: bool
    """True if there are approvals that were decided long ago."""


@define(eq=False)
class ApprovalDesk:
    """Takes the steps that are due, each in a task of its own."""

    _central: Reader
    _registry: Ref[Registry]
    _changes: Changes
    _clock: Clock
    _senders: Senders
    _sessions: Sessions
    _catalogue: ApprovalKinds
    _effects: Effects
    _cards: CardSender
    unreached: int = field(default=0, init=False)
    """The number of pending approvals that nobody can be shown now."""
    _busy: set[Key] = field(factory=set, init=False)
    """The steps under way."""
    _failures: dict[Key, tuple[int, float]] = field(factory=dict, init=False)
    """The failures of steps: their number, and trio's time before which the step is not tried again."""
    _held: dict[Key, int] = field(factory=dict, init=False)
    """The cards that wait for somebody to attend, with the number of attendances when they were tried."""
    _refused: dict[tuple[str, str], float] = field(factory=dict, init=False)
    """The direct chats that a channel refused: trio's time at which it is asked again."""
    _limit: trio.CapacityLimiter = Factory(lambda: trio.CapacityLimiter(MAX_AT_ONCE))
    _finishing: trio.CapacityLimiter = Factory(lambda: trio.CapacityLimiter(MAX_AT_ONCE))
    """Of effects, which may take minutes: they must not delay cards."""

    async def run(self) -> None:
        """Take the steps that are due, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    wait_s = await self._round(nursery)
                except (StoreError, ActorError) as error:
                    _log.warning("approvals.not_read", reason=str(error), again_in_s=AGAIN_S[0])
                    wait_s = AGAIN_S[0]
                with trio.move_on_after(wait_s):
                    await self._changes.approvals_changed()

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for the status if approvals wait that nobody can be shown."""
        if not self.unreached:
            return ()
        what = "an approval waits" if self.unreached == 1 else f"{self.unreached} approvals wait"
        return (f"{what} and nobody who may decide can be reached: nanoclaw approvals list --status pending",)

    # -- a round

    async def _round(self, nursery: trio.Nursery) -> float:
        """Begin the steps that are due. Return the seconds until the next one is."""
        now = self._clock.now()
        work = await self._central.run(_read, self._networks(), now - KEPT)
        if work.prunable:
            await self._registry.ask(PruneApprovals(now - KEPT))
        if work.next_expiry is not None and work.next_expiry <= now:
            await self._registry.ask(ExpireApprovals())
            return 0.0
        self.unreached = sum(not each.reached for each in work.plans.values())
        waits = [PRUNE_EVERY_S, *self._open_chats(nursery, work), *self._open_cards(nursery, work, now)]
        for approval in work.unfinished:
            if approval.action in self._catalogue.kinds:
                step = partial(self._finish, approval)
                waits.append(self._begin(nursery, ("finish", approval.approval_id), step))
        for each in work.tellings:
            key = ("tell", each.asker.approval_id, each.asker.session_id)
            waits.append(self._begin(nursery, key, partial(self._tell, each)))
        if work.next_expiry is not None:
            waits.append((work.next_expiry - now).total_seconds())
        return max(0.0, min(waits))

    def _open_chats(self, nursery: trio.Nursery, work: Work) -> list[float]:
        cards = [card for each in work.plans.values() for card in each.cards]
        waits = list[float]()
        if cards:
            step = partial(self._registry.ask, AddCards(cards))
            waits.append(self._begin(nursery, ("add",), step))
        for search in {each: None for found in work.plans.values() for each in found.searches}:
            key = ("search", search.channel_type, search.user_id)
            waits.append(self._begin(nursery, key, partial(self._search, search)))
        return waits

    def _open_cards(self, nursery: trio.Nursery, work: Work, now: datetime) -> list[float]:
        waits = list[float]()
        for shown in work.cards:
            card = shown.card
            key = ("card", card.approval_id, card.user_id)
            if self._held.get(key) == self._changes.attendances:
                continue
            left_s = _left_s(card, now)
            if left_s > 0:
                waits.append(left_s)
            else:
                waits.append(self._begin(nursery, key, partial(self._show, key, shown)))
        return waits

    def _begin(self, nursery: trio.Nursery, key: Key, step: Step) -> float:
        """Begin a step, unless it is under way or has failed lately. Return the seconds to wait for it."""
        _, until = self._failures.get(key, (0, 0.0))
        left_s = until - trio.current_time()
        if key in self._busy:
            return float("inf")  # its end wakes the desk
        if left_s > 0:
            return left_s
        self._busy.add(key)
        nursery.start_soon(self._take, key, step)
        return float("inf")

    async def _take(self, key: Key, step: Step) -> None:
        """Take one step. If it fails, it is taken again later."""
        try:
            async with self._finishing if key[0] == "finish" else self._limit:
                await step()
            self._failures.pop(key, None)
        except (Refusal, ActorError, SessionDown, ForeignError) as error:
            failures = self._failures.get(key, (0, 0.0))[0] + 1
            again_s = AGAIN_S[min(failures, len(AGAIN_S)) - 1]
            self._failures[key] = (failures, trio.current_time() + again_s)
            _log.warning(
                "approvals.step_failed", step=" ".join(key), reason=text_of(error), again_in_s=again_s
            )
        finally:
            self._busy.discard(key)
            self._changes.tell_approvals()

    # -- steps

    async def _show(self, key: Key, shown: Shown) -> None:
        attendances = self._changes.attendances
        if await self._cards.show(shown):
            self._held.pop(key, None)
        else:
            self._held[key] = attendances

    async def _search(self, search: Search) -> None:
        """Find the direct chat of a user, and keep it."""
        channel, user = search.channel_type, search.user_id
        try:
            address = await self._senders.open_dm(channel, user)
        except DeliveryRejected as error:
            self._refused[channel, user] = trio.current_time() + REFUSED_FOR_S
            _log.info("approvals.no_direct_chat", channel=channel, user=user, reason=text_of(error))
            return
        where = Address(channel, address.platform_id, address.thread_id)
        chat = await self._registry.ask(EnsureChat(where, None, is_group=False))
        await self._registry.ask(NoteDm(user, channel, chat.id))

    async def _finish(self, approval: PendingApproval) -> None:
        """Carry out an approved approval outside of the central database."""
        kind = self._catalogue.kinds[approval.action]
        outcome = approval.outcome or {}
        if isinstance(kind, HasEffects):
            try:
                with foreign_code(ActionRefused, StoreError, ActorError):
                    found = await result_of(kind.finish(approval, self._effects))
                    outcome = outcome if found is None else as_json(found)  # type: ignore[arg-type]
            except ActionRefused as error:
                outcome = {**outcome, "error": text_of(error)}
        await self._registry.ask(FinishApproval(approval.approval_id, outcome))
        _log.info("approval.finished", approval=approval.approval_id, error=outcome.get("error"))

    async def _tell(self, telling: Telling) -> None:
        """Tell a session the outcome, once."""
        asker, approval = telling.asker, telling.approval
        if telling.who is not None:
            message = NewMessage(
                id=outcome_id(approval.approval_id),
                kind="system",
                timestamp=self._clock.now(),
                address=_address(asker),
                content=words.outcome(approval, asker),
                trigger=True,
            )
            await self._sessions.tell_agent(telling.who, message)
        await self._registry.ask(OutcomeTold(approval.approval_id, asker.session_id))

    def _networks(self) -> Networks:
        now = trio.current_time()
        self._refused = {each: until for each, until in self._refused.items() if until > now}
        senders, refused = self._senders, frozenset(self._refused)
        return Networks(senders.channel_types, senders.finds_dms, refused, senders.user_prefix)


def _left_s(card: ApprovalCard, now: datetime) -> float:
    """Return the seconds until the next attempt of a card. After a change of the date backwards it is due."""
    if card.next_attempt is None or (card.started_at is not None and card.started_at > now):
        return 0.0
    return (card.next_attempt - now).total_seconds()


def _address(asker: ApprovalAsker) -> Address | None:
    if asker.channel_type is None or asker.platform_id is None:
        return None
    return Address(asker.channel_type, asker.platform_id, asker.thread_id)


def _read(connection: Connection, networks: Networks, before: datetime) -> Work:
    """Read everything that is not done."""
    pending = pending_approvals.every(connection, "pending")
    asked = [each for each in pending if each.same is not None]
    expiries = [each.expires_at for each in pending if each.expires_at is not None]
    return Work(
        min(expiries, default=None),
        {each.approval_id: _plan(connection, each, networks) for each in asked},
        [*_cards(connection)],
        pending_approvals.unfinished(connection),
        [*_tellings(connection)],
        pending_approvals.has_prunable(connection, before),
    )


def _plan(connection: Connection, approval: PendingApproval, networks: Networks) -> Plan:
    try:
        return plan(connection, approval, networks)
    except DamagedRow as error:  # `status` shows the row
        _log.warning("approvals.cannot_be_shown", approval=approval.approval_id, reason=str(error))
        return Plan(reached=False)


def _cards(connection: Connection) -> Iterator[Shown]:
    for card in approval_cards.unsettled(connection):
        with suppress(DamagedRow):
            approval = pending_approvals.require(connection, card.approval_id)
            by = approval.decided_by
            yield Shown(card, approval, by and users.name_of(connection, by))


def _tellings(connection: Connection) -> Iterator[Telling]:
    for asker in approval_askers.untold(connection):
        with suppress(DamagedRow):
            approval = pending_approvals.require(connection, asker.approval_id)
            yield Telling(asker, approval, _who(connection, asker.session_id))


def _who(connection: Connection, session_id: str) -> Conversation | None:
    """Return a session that can be told, or None if it is over."""
    session = sessions.get(connection, session_id)
    if session is None or session.status == "archived":
        return None
    return conversation(connection, session)
