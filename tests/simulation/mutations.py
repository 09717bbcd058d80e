"""Bugs that are put into the product on purpose, and found by simulated households (docs/simulation.md).

    python -m tests.simulation.mutations                 # each at its seed
    python -m tests.simulation.mutations --search 25     # each at the first seeds, until it is found
    python -m tests.simulation.mutations "wake-up"       # those with these words

Each one replaces functions of the real host or the real runner while a household is played, three hours with
all faults; the files stay as they are.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import apsw
import pytest
from attrs import evolve, frozen

from agent_runner import (
    follow_ups,
    inbound,
    outbound,
    outbox,
    polling,
    pruning,
    selection,
    turn,
    turn_outcome,
)
from agent_runner.records import Address as RunnerAddress
from agent_runner.records import Inbound, Sent
from agent_runner.tools import ask_user_question
from agent_runner.tools.base import ToolContext
from agent_runner.turn_state import TurnState
from nanoclaw.dispatch import outgoing
from nanoclaw.dispatch.chats import ToChats
from nanoclaw.records import Destination, InboundEvent, Outgoing, Receipt, TextContent
from nanoclaw.registry import RemoveParked
from nanoclaw.registry.changes import Changes
from nanoclaw.routing import clicks, engagement, plan
from nanoclaw.routing.access import refusal
from nanoclaw.scheduling import due_slots, timetable, zones
from nanoclaw.session import actions, actor, needs, outcomes, queue, recurrence, transactions
from nanoclaw.session import deliveries as queued
from nanoclaw.session.actor import Refresh, SessionActor
from nanoclaw.session.deliveries import Deliveries
from nanoclaw.session.messages import Failed, Messages, Retry
from nanoclaw.session.queue import DeliveryQueue
from nanoclaw.session.rules import Rules
from nanoclaw.session.runner import Runner
from nanoclaw.session.state import Moment, SessionState
from nanoclaw.store import deliveries, messages_in, parked_events, projections, tasks
from nanoclaw.store.messages_in import OpenMessage
from nanoclaw.testing.campaign import quiet
from nanoclaw.testing.faults import fault_names
from nanoclaw.testing.household import household
from nanoclaw.testing.play import play
from nanoclaw.testing.virtual import CommitWakeups, RunnerWakeups

HOURS = 3.0
FAULTS = fault_names("all")
SEVENTH = 7

Plant = Callable[[pytest.MonkeyPatch], None]


@frozen
class Mutation:
    """One bug: what it is, how it is put in, and where and as what it is found."""

    name: str
    plant: Plant
    seed: int
    invariant: str


# -- delivering ------------------------------------------------------------------


def attempt_unrecorded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deliveries, "begin", lambda *_: None)


def receipt_before_sending(patch: pytest.MonkeyPatch) -> None:
    begin = deliveries.begin

    def begun(connection: apsw.Connection, message_out_id: str, now: datetime) -> None:
        begin(connection, message_out_id, now)
        deliveries.deliver(connection, message_out_id, Receipt("soon"), now)

    patch.setattr(deliveries, "begin", begun)


def doubt_uncounted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        deliveries,
        "doubt",
        lambda connection, id_, at, error: deliveries.postpone(connection, id_, at, error, asked=True),
    )


def cut_off_attempts_forgotten(patch: pytest.MonkeyPatch) -> None:
    reread = queued._reread

    def again(entry: Any, row: Any, now: datetime, rules: Rules) -> Any:
        return reread(evolve(entry, status="pending"), row, now, rules)

    patch.setattr(queued, "_reread", again)


def addresses_not_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DeliveryQueue, "_heads", lambda self, _now: iter(self.waiting))


def files_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outgoing, "read_files", lambda *_: ())


def rows_never_sent(patch: pytest.MonkeyPatch) -> None:
    """Every seventh counts as delivered, without a receipt, and nobody is asked."""
    numbers, send = count(1), ToChats._send

    async def sends(self: ToChats, *args: Any) -> Any:
        if next(numbers) % SEVENTH == 0:
            return outcomes.Delivered(Receipt(None))
        return await send(self, *args)

    patch.setattr(ToChats, "_send", sends)


def _changing(patch: pytest.MonkeyPatch, change: Callable[[Outgoing], Outgoing]) -> None:
    made = ToChats._outgoing

    async def changed(self: ToChats, *args: Any) -> Outgoing:
        return change(await made(self, *args))

    patch.setattr(ToChats, "_outgoing", changed)


def threads_dropped(patch: pytest.MonkeyPatch) -> None:
    _changing(patch, lambda one: evolve(one, address=evolve(one.address, thread_id=None)))


def texts_cut(patch: pytest.MonkeyPatch) -> None:
    def cut(one: Outgoing) -> Outgoing:
        content = one.content
        return (
            evolve(one, content=evolve(content, text=content.text[:6]))
            if isinstance(content, TextContent)
            else one
        )

    _changing(patch, cut)


def threads_unread(patch: pytest.MonkeyPatch) -> None:
    """The runner does not see in which thread something was said."""
    patch.setattr(inbound, "to_address", lambda *where: _address(*where[:2]))


_address = inbound.to_address


def reply_to_dropped(patch: pytest.MonkeyPatch) -> None:
    _changing(patch, lambda one: evolve(one, in_reply_to=None))


# -- hearing ---------------------------------------------------------------------


def doors_open(patch: pytest.MonkeyPatch) -> None:
    for module in (plan, clicks):
        patch.setattr(module, "refusal", lambda *_: None)


def members_refused(patch: pytest.MonkeyPatch) -> None:
    def refused(connection: apsw.Connection, chat: Any, *rest: Any) -> str | None:
        closed = chat.unknown_sender_policy != "public"
        return "unknown_sender_strict" if closed else refusal(connection, chat, *rest)

    patch.setattr(plan, "refusal", refused)


def mentions_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engagement, "_triggered", lambda *_: True)


def context_begins_turns(patch: pytest.MonkeyPatch) -> None:
    """The runner takes context for what wakes it."""
    page = selection.Selection.offer
    patch.setattr(selection.Selection, "offer", lambda self, row: page(self, evolve(row, trigger=True)))
    inbound_row = inbound._parse
    patch.setattr(inbound, "_parse", lambda *args: _waking(inbound_row(*args)))


def _waking(row: Any) -> Any:
    return evolve(row, trigger=True) if isinstance(row, Inbound) else row


# -- storing ---------------------------------------------------------------------


def confirmed_unstored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(messages_in, "insert", lambda *_: None)


def parked_forgotten(patch: pytest.MonkeyPatch) -> None:
    async def removes(actor: SessionActor) -> None:
        parked = await actor.services.central.run(parked_events.for_session, actor.conversation.session.id)
        if parked:
            await actor.services.registry.ask(RemoveParked([event.id for event in parked]))

    patch.setattr(SessionActor, "replay_parked", removes)


def mark_not_kept(patch: pytest.MonkeyPatch) -> None:
    set_mark = messages_in.set_mark

    def forgets(connection: apsw.Connection, key: str, value: int) -> None:
        if key != "seq":
            set_mark(connection, key, value)

    patch.setattr(messages_in, "set_mark", forgets)


def edits_taken_for_duplicates(patch: pytest.MonkeyPatch) -> None:
    of = InboundEvent.__dict__["message_id"].fget
    patch.setattr(InboundEvent, "message_id", property(lambda self: of(evolve(self, version=""))))


# -- working ---------------------------------------------------------------------


def acked_as_claimed(patch: pytest.MonkeyPatch) -> None:
    claim = outbound.claim

    def claimed(connection: apsw.Connection, claims: Any, at: datetime, turn_id: str) -> Any:
        sent = claim(connection, claims, at, turn_id)
        outbound.acknowledge(connection, claims, at, outbound.Ack("completed", turn_id))
        return sent

    patch.setattr(outbound, "claim", claimed)


def _retold(patch: pytest.MonkeyPatch, is_told: Callable[[Sent], bool]) -> None:
    told = outbound._sent
    patch.setattr(outbound, "_sent", lambda *given: list(filter(is_told, told(*given))))


def retold_untold(patch: pytest.MonkeyPatch) -> None:
    _retold(patch, lambda _: False)


def retold_but_for_requests(patch: pytest.MonkeyPatch) -> None:
    _retold(patch, lambda sent: sent.kind != "system")


def retold_but_for_edits(patch: pytest.MonkeyPatch) -> None:
    _retold(patch, lambda sent: "operation" not in sent.content)


def follow_ups_untold(patch: pytest.MonkeyPatch) -> None:
    """The turn's end closes them, and the provider has not seen them."""
    take = follow_ups._take

    async def taken(session: Any, turn: Any, extras: Any, ids: Sequence[str]) -> Sequence[Any]:
        await take(session, turn, extras, ids)
        return ()

    patch.setattr(follow_ups, "_take", taken)
    consumed = TurnState.consumed
    patch.setattr(
        TurnState,
        "consumed",
        lambda self, _ids: consumed(self, {row.id for row in self.follow_ups}),
    )
    patch.setattr(TurnState, "unconsumed", lambda _self, _ids: [])


# -- trying again ----------------------------------------------------------------


def retried_at_once(patch: pytest.MonkeyPatch) -> None:
    again = Messages._again

    def at_once(self: Messages, message: Any, now: datetime, reason: str, at: datetime | None) -> Any:
        verdict = again(self, message, now, reason, at)
        return evolve(verdict, after=now) if isinstance(verdict, Retry) else verdict

    patch.setattr(Messages, "_again", at_once)


def released_uncounted(patch: pytest.MonkeyPatch) -> None:
    again = Messages._again

    def uncounted(self: Messages, message: Any, now: datetime, reason: str, at: datetime | None) -> Any:
        verdict = again(self, evolve(message, tries=min(message.tries, 1)), now, reason, at)
        return evolve(verdict, message=message)

    patch.setattr(Messages, "_again", uncounted)


def heartbeat_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Runner, "hangs", lambda *_: False)


# -- tasks -----------------------------------------------------------------------


def slot_not_unique(patch: pytest.MonkeyPatch) -> None:
    """Neither is it asked whether a slot has its row, nor does the file refuse a second one."""
    patch.setattr(tasks, "slot_taken", lambda *_: False)
    repeat = tasks.repeat

    def repeats(connection: apsw.Connection, *args: Any, **options: Any) -> Any:
        connection.execute("DROP INDEX IF EXISTS idx_messages_in_slot")
        return repeat(connection, *args, **options)

    patch.setattr(tasks, "repeat", repeats)


def slot_free_unasked(patch: pytest.MonkeyPatch) -> None:
    """The same where the next slot is looked for, and nowhere else."""
    patch.setattr(recurrence, "free_slot", lambda _connection, _occurrence, slot, _zone: slot)
    repeat = tasks.repeat

    def repeats(connection: apsw.Connection, *args: Any, **options: Any) -> Any:
        connection.execute("DROP INDEX IF EXISTS idx_messages_in_slot")
        return repeat(connection, *args, **options)

    patch.setattr(tasks, "repeat", repeats)


def schedules_in_utc(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(timetable, "zone_of", lambda _zone: ZoneInfo("UTC"))


def _idle(connection: apsw.Connection, request: actions.Request, _site: actions.Site) -> actions.Done:
    """Do nothing, and say that it is done."""
    return actions.Done({"taskId": request.task(connection)[-1].series_id})


def cancelled_in_words(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(actions._ACTIONS, "cancel_task", _idle)


def paused_in_words(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(actions._ACTIONS, "pause_task", _idle)


def no_successor_of_failures(patch: pytest.MonkeyPatch) -> None:
    judge = transactions._judge

    def judged(connection: apsw.Connection, verdict: Any, *rest: Any) -> Any:
        if isinstance(verdict, Failed):
            verdict = evolve(verdict, message=evolve(verdict.message, kind="chat"))
        return judge(connection, verdict, *rest)

    patch.setattr(transactions, "_judge", judged)


def recurrence_not_handed_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tasks, "hand_on", lambda *_: None)


def alarm_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Messages, "next_due", lambda *_: None)


# -- waking ----------------------------------------------------------------------


def runners_wake_lost(patch: pytest.MonkeyPatch) -> None:
    """Every seventh commit of a host wakes no runner."""
    numbers, watch = count(1), RunnerWakeups.watch

    def lossy(
        self: RunnerWakeups, directory: Any, changed: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        return watch(self, directory, _most_often(numbers, changed))

    patch.setattr(RunnerWakeups, "watch", lossy)


def _most_often(numbers: "count[int]", changed: Callable[[], None]) -> Callable[[], None]:
    def often() -> None:
        if next(numbers) % SEVENTH:
            changed()

    return often


def hosts_wake_lost(patch: pytest.MonkeyPatch) -> None:
    """Every seventh commit of a runner wakes no session."""
    numbers, watch = count(1), CommitWakeups.watch

    def lossy(
        self: CommitWakeups, directory: Any, changed: Callable[[], None]
    ) -> AbstractContextManager[None]:
        return watch(self, directory, _most_often(numbers, changed))

    patch.setattr(CommitWakeups, "watch", lossy)


def follow_ups_wake_lost(patch: pytest.MonkeyPatch) -> None:
    """A turn that waits for follow-ups does not hear of commits."""
    rest = polling.wait_for_change

    async def deaf(session: Any, _seen: int, next_due: datetime | None) -> None:
        await rest(session, 10**9, next_due)

    patch.setattr(follow_ups, "wait_for_change", deaf)


def delivery_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    """What was postponed waits until something else happens."""
    patch.setattr(DeliveryQueue, "next_due", lambda *_: None)


def projections_stale(patch: pytest.MonkeyPatch) -> None:
    """A living session does not follow the central database; the next wake would."""

    async def handle(_self: Refresh, actor: SessionActor) -> None:
        await actor.follow_status()
        actor.shell.wake()

    patch.setattr(Refresh, "handle", handle)


# -- who decides, and when -------------------------------------------------------


def strangers_click(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clicks, "_refused", lambda *_: None)


def paused_goes_on(patch: pytest.MonkeyPatch) -> None:
    def wanted(state: SessionState, now: Moment) -> bool:
        return state.outbound.quarantined is None and state.messages.wanted(now.date)

    patch.setattr(needs, "wants_runner", wanted)


def turns_backwards(patch: pytest.MonkeyPatch) -> None:
    fetch = inbound.fetch

    def backwards(*args: Any) -> inbound.Fetched:
        found = fetch(*args)
        return evolve(found, messages=found.messages[::-1])

    patch.setattr(inbound, "fetch", backwards)


def pauses_not_kept(patch: pytest.MonkeyPatch) -> None:
    back_off = outcomes.back_off
    patch.setattr(
        outcomes,
        "back_off",
        lambda delivery, reason, _retry_after, *rest: back_off(delivery, reason, 0.0, *rest),
    )


def retries_in_company(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(selection.Selection, "_offer_retry", selection.Selection._add)


# -- whose it is -----------------------------------------------------------------


def plans_without_threads(patch: pytest.MonkeyPatch) -> None:
    key = plan._key

    def threadless(event: InboundEvent) -> Any:
        return key(evolve(event, address=evolve(event.address, thread_id=None)))

    patch.setattr(plan, "_key", threadless)


def tasks_lose_their_thread(patch: pytest.MonkeyPatch) -> None:
    repeat = tasks.repeat

    def repeats(connection: apsw.Connection, *args: Any, **options: Any) -> Any:
        opened = repeat(connection, *args, **options)
        connection.execute("UPDATE messages_in SET thread_id = NULL WHERE id = :id", {"id": opened.id})
        return opened

    patch.setattr(tasks, "repeat", repeats)


def home_is_the_latest_chat(patch: pytest.MonkeyPatch) -> None:
    """A turn sends to where the session was last spoken to."""
    of_turn = ToolContext.__dict__["home"].fget

    def home(self: ToolContext) -> RunnerAddress | None:
        return self.routing or of_turn(self)

    patch.setattr(ToolContext, "home", property(home))


# -- what is reckoned ------------------------------------------------------------


def one_try_too_many(patch: pytest.MonkeyPatch) -> None:
    again = Messages._again

    def once_more(self: Messages, *args: Any) -> Any:
        return again(evolve(self, max_tries=self.max_tries + 1), *args)

    patch.setattr(Messages, "_again", once_more)


def inherited_claims_cost_a_try(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Messages, "own_claims", lambda self: list(self.claimed))


def numbers_without_a_floor(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turn_outcome.ClaimedTurn, "sequence_floor", 0)


def outbox_tidied_too_early(patch: pytest.MonkeyPatch) -> None:
    """Files go when their message was tried, and not when it has arrived."""

    def done(connection: apsw.Connection, ids: Any) -> set[str]:
        tried = "SELECT 1 FROM deliveries WHERE message_out_id = :id AND status <> 'pending'"
        return {id_ for id_ in ids if connection.execute(tried, {"id": id_}).fetchone()}

    patch.setattr(outbox, "_done", done)


def failures_told_as_successes(patch: pytest.MonkeyPatch) -> None:
    settle = Deliveries.settle
    patch.setattr(Deliveries, "settle", lambda self, all_: settle(self, [(m, "completed") for m, _ in all_]))


def answered_questions_left(patch: pytest.MonkeyPatch) -> None:
    async def leave(*_args: Any) -> None:
        pass

    patch.setattr(clicks, "withdraw", leave)


def asked_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ask_user_question, "_asked_before", lambda *_: None)


# -- what is found again ---------------------------------------------------------


def doubts_forgotten(patch: pytest.MonkeyPatch) -> None:
    reread = queued._reread

    def again(entry: Any, row: Any, now: datetime, rules: Rules) -> Any:
        return reread(evolve(entry, doubts=0), row, now, rules)

    patch.setattr(queued, "_reread", again)


def opened_sessions_sleep_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Changes, "open", lambda *_: None)


def late_runs_begin_on_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recurrence, "due_slots", lambda *args, **_: due_slots(*args))


def repeated_hours_seen_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(timetable, "latest_shown", zones.wall_at)


def slots_drift(patch: pytest.MonkeyPatch) -> None:

    def drifting(expression: str, _slot: datetime, now: datetime, *args: Any, **options: Any) -> Any:
        return due_slots(expression, now, now, *args, **options)

    patch.setattr(recurrence, "due_slots", drifting)


def acks_of_open_messages_pruned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pruning, "_settled", lambda _connection, ids: list(ids))


def postponed_behind_the_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(queue, "_put_back", lambda waiting, delivery: (*waiting, delivery))


def at_work_is_idle(patch: pytest.MonkeyPatch) -> None:
    left = needs.idle_left_s
    patch.setattr(needs, "idle_left_s", lambda state, now, **_: left(state, now, watched=False))


def idle_runners_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(needs, "idle_left_s", lambda *_, **__: 1e9)


# -- what agents hear and ask for --------------------------------------------------


def heard_as_somebody_else(patch: pytest.MonkeyPatch) -> None:
    parse = inbound._parse

    def parsed(row: Any, now: datetime) -> Any:
        found = parse(row, now)
        if not isinstance(found, Inbound) or "senderId" not in found.content:
            return found
        return evolve(found, content={**found.content, "senderId": "fake:somebody"})

    patch.setattr(inbound, "_parse", parsed)


def context_unheard(patch: pytest.MonkeyPatch) -> None:
    made = turn._turn
    patch.setattr(turn, "_turn", lambda *given: evolve(made(*given), context=()))


def updated_in_words(patch: pytest.MonkeyPatch) -> None:
    changes = actions._changes

    def unchanged(*given: Any) -> Any:
        return {key: value for key, value in changes(*given).items() if key != "content"}

    patch.setattr(actions, "_changes", unchanged)


def series_lost(patch: pytest.MonkeyPatch) -> None:
    follow, times = recurrence.follow, count()

    def followed(connection: Any, occurrence: Any, *rest: Any) -> Any:
        if next(times) % 2 or occurrence.recurrence is None:
            return follow(connection, occurrence, *rest)
        tasks.hand_on(connection, occurrence)
        return recurrence.Followed()

    patch.setattr(recurrence, "follow", followed)


def zones_unread(patch: pytest.MonkeyPatch) -> None:
    text = actions.Request.text
    patch.setattr(actions.Request, "text", lambda self, key: None if key == "zone" else text(self, key))


def once_is_at_once(patch: pytest.MonkeyPatch) -> None:
    first = actions._first

    def now_or_first(start: Any, recurs: Any, zone: Any, catch_up: Any, now: Any) -> Any:
        return first(start, recurs, zone, catch_up, now) if recurs else now

    patch.setattr(actions, "_first", now_or_first)


def receipts_mixed_up(patch: pytest.MonkeyPatch) -> None:
    deliver, before = deliveries.deliver, [Receipt("fake-0")]

    def mixed_up(connection: apsw.Connection, id_: str, receipt: Receipt, now: datetime) -> None:
        before.append(receipt)
        deliver(connection, id_, before[-2] if receipt.platform_message_id else receipt, now)

    patch.setattr(deliveries, "deliver", mixed_up)


def failed_tasks_untold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OpenMessage, "of_somebody", property(lambda self: self.trigger and self.kind == "chat"))


def one_try_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Messages, "_again", lambda _self, message, _now, reason, _at: Failed(message, reason))


def given_up_at_once(patch: pytest.MonkeyPatch) -> None:
    def refused(_delivery: Any, reason: str, *_: Any) -> Any:
        return outcomes.Undeliverable(f"given up after 1 attempts: {reason}")

    patch.setattr(outcomes, "back_off", refused)


def attempts_without_pause(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outcomes, "delay", lambda *_: 0.001)


def attachments_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(actor, "store_attachments", lambda *_: ())


def destinations_mixed_up(patch: pytest.MonkeyPatch) -> None:
    write = projections.write_destinations

    def mixed_up(connection: apsw.Connection, found: Sequence[Destination]) -> None:
        others = [*found[1:], *found[:1]]
        write(
            connection,
            [evolve(other, name=one.name) for one, other in zip(found, others, strict=True)],
        )

    patch.setattr(projections, "write_destinations", mixed_up)


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "an attempt is not recorded before the channel is asked",
        attempt_unrecorded,
        0,
        "ledger_agrees_with_itself",
    ),
    Mutation(
        "the receipt is written before the channel is asked",
        receipt_before_sending,
        0,
        "receipts_are_the_networks",
    ),
    Mutation("a doubtful attempt is not counted as one", doubt_uncounted, 1, "nothing_arrives_twice_unknown"),
    Mutation(
        "an attempt that a death cut off is forgotten",
        cut_off_attempts_forgotten,
        5,
        "nothing_arrives_twice_unknown",
    ),
    Mutation("the queue does not hold an address", addresses_not_held, 0, "replies_keep_their_order"),
    Mutation("files of a message are left out", files_left_out, 1, "files_arrive"),
    Mutation(
        "every seventh message counts as delivered, and is not sent",
        rows_never_sent,
        0,
        "what_is_delivered_has_arrived",
    ),
    Mutation(
        "a message goes to the group instead of the thread", threads_dropped, 0, "replies_arrive_as_they_are"
    ),
    Mutation(
        "the runner answers in the group instead of the thread",
        threads_unread,
        0,
        "answers_arrive_where_was_asked",
    ),
    Mutation("texts are cut at six characters", texts_cut, 0, "replies_arrive_as_they_are"),
    Mutation("a reply does not say what it answers", reply_to_dropped, 0, "replies_arrive_as_they_are"),
    Mutation("strangers are let in everywhere", doors_open, 0, "strangers_are_not_heard"),
    Mutation("members are refused like strangers", members_refused, 0, "who_is_let_in_is_heard"),
    Mutation(
        "what mentions nobody wakes the agent", mentions_ignored, 1, "what_mentions_nobody_wakes_nobody"
    ),
    Mutation("context has turns of its own", context_begins_turns, 0, "context_has_no_turn_of_its_own"),
    Mutation("a message is confirmed and not stored", confirmed_unstored, 0, "accepted_messages_are_kept"),
    Mutation("parked events are forgotten", parked_forgotten, 6, "accepted_messages_are_kept"),
    Mutation("the mark of `seq` is not kept", mark_not_kept, 0, "marks_are_above_what_was_given"),
    Mutation("an edit is taken for a duplicate", edits_taken_for_duplicates, 0, "accepted_messages_are_kept"),
    Mutation("messages are acked as they are claimed", acked_as_claimed, 1, "what_is_completed_was_heard"),
    Mutation(
        "a turn that is told again is not told what it had sent",
        retold_untold,
        0,
        "mid_turn_messages_are_sent_once",
    ),
    Mutation(
        "follow-ups are closed, and the agent has not seen them",
        follow_ups_untold,
        7,
        "what_is_completed_was_heard",
    ),
    Mutation("a retry does not wait", retried_at_once, 0, "retries_wait"),
    Mutation("what a provider gives back costs no try", released_uncounted, 1, "replies_are_seen_at_once"),
    Mutation("a runner that is stuck is not replaced", heartbeat_ignored, 0, "stuck_runners_are_replaced"),
    Mutation("a slot is not unique: neither checked nor refused", slot_not_unique, 3, "slots_are_unique"),
    Mutation("the next slot may have run before, and nobody asks", slot_free_unasked, 20, "slots_are_unique"),
    Mutation("schedules are read in UTC", schedules_in_utc, 1, "slots_fit_their_schedules"),
    Mutation("a task is cancelled in words only", cancelled_in_words, 0, "what_is_stopped_does_not_run"),
    Mutation("a task is paused in words only", paused_in_words, 5, "what_is_stopped_does_not_run"),
    Mutation(
        "nothing follows an occurrence that failed", no_successor_of_failures, 4, "series_go_on_or_have_ended"
    ),
    Mutation(
        "an occurrence that ended keeps its recurrence",
        recurrence_not_handed_on,
        1,
        "series_go_on_or_have_ended",
    ),
    Mutation("the alarm of a task is forgotten", alarm_forgotten, 0, "work_gets_a_runner"),
    Mutation("every seventh wake-up of a runner is lost", runners_wake_lost, 1, "nobody_waits_for_a_poll"),
    Mutation("every seventh wake-up of the host is lost", hosts_wake_lost, 1, "replies_are_seen_at_once"),
    Mutation("a follow-up wakes no turn", follow_ups_wake_lost, 1, "nobody_waits_for_a_poll"),
    Mutation(
        "the next attempt of a delivery has no alarm", delivery_wakes_nobody, 1, "replies_are_tried_at_once"
    ),
    Mutation("a stranger's click counts", strangers_click, 6, "strangers_decide_nothing"),
    Mutation("a session that is paused goes on", paused_goes_on, 2, "paused_sessions_rest"),
    Mutation("a turn has its messages backwards", turns_backwards, 0, "turns_are_in_order"),
    Mutation("a network's pause is not kept", pauses_not_kept, 4, "networks_get_the_pause_they_ask_for"),
    Mutation("a retry takes others along", retries_in_company, 1, "retries_are_alone"),
    Mutation("projections do not follow while a runner lives", projections_stale, 9, "projections_are_true"),
    Mutation(
        "a chat's plan is that of all its threads", plans_without_threads, 1, "sessions_hear_their_own_place"
    ),
    Mutation(
        "a task loses its thread at its second run", tasks_lose_their_thread, 2, "tasks_stay_in_their_place"
    ),
    Mutation(
        "a turn sends to the chat that spoke last", home_is_the_latest_chat, 4, "turns_send_to_their_own_chat"
    ),
    Mutation("there is a try more than there may be", one_try_too_many, 1, "tries_end"),
    Mutation(
        "what a runner has inherited costs a try", inherited_claims_cost_a_try, 21, "tries_have_their_causes"
    ),
    Mutation(
        "an answer has no higher number than its message",
        numbers_without_a_floor,
        0,
        "answers_have_higher_numbers",
    ),
    Mutation(
        "files are removed before they have arrived", outbox_tidied_too_early, 11, "failures_are_the_networks"
    ),
    Mutation(
        "the network hears that everything was completed",
        failures_told_as_successes,
        1,
        "outcomes_are_told_as_they_are",
    ),
    Mutation(
        "a question that was answered is not taken away",
        answered_questions_left,
        1,
        "answered_questions_wait_no_more",
    ),
    Mutation(
        "an interrupted turn asks its question again", asked_again, 3, "mid_turn_messages_are_sent_once"
    ),
    Mutation("doubts are forgotten with the host", doubts_forgotten, 2, "nothing_arrives_twice_unknown"),
    Mutation(
        "nobody opens a session that is active again", opened_sessions_sleep_on, 4, "work_gets_a_runner"
    ),
    Mutation("a late run counts as one on time", late_runs_begin_on_time, 7, "an_outage_has_one_late_run"),
    Mutation(
        "an hour that comes twice has its slots twice",
        repeated_hours_seen_once,
        19,
        "what_is_scheduled_comes",
    ),
    Mutation("slots drift by what their runs took", slots_drift, 1, "slots_fit_their_schedules"),
    Mutation(
        "acks of open messages are pruned", acks_of_open_messages_pruned, 0, "mid_turn_messages_are_sent_once"
    ),
    Mutation(
        "what is postponed goes to the end of the queue",
        postponed_behind_the_others,
        0,
        "replies_keep_their_order",
    ),
    Mutation("a runner at work counts as idle", at_work_is_idle, 1, "runners_at_work_are_let_be"),
    Mutation(
        "an agent hears everything from somebody else", heard_as_somebody_else, 0, "agents_hear_what_was_said"
    ),
    Mutation(
        "context is closed, and the agent has not seen it", context_unheard, 0, "what_is_completed_was_heard"
    ),
    Mutation(
        "an interrupted turn is not told of its tasks", retold_but_for_requests, 4, "requests_are_made_once"
    ),
    Mutation(
        "an interrupted turn is not told of its edits and reactions",
        retold_but_for_edits,
        3,
        "requests_are_made_once",
    ),
    Mutation("a task is changed in words only", updated_in_words, 5, "tasks_are_as_they_were_asked_for"),
    Mutation("nothing follows every second run", series_lost, 1, "tasks_are_as_they_were_asked_for"),
    Mutation(
        "the zone that the agent names is not read", zones_unread, 6, "tasks_are_as_they_were_asked_for"
    ),
    Mutation("what is for later runs at once", once_is_at_once, 1, "nothing_is_due_before_its_time"),
    Mutation("a message has another one's receipt", receipts_mixed_up, 0, "receipts_are_the_networks"),
    Mutation("a message fails at its first try", one_try_alone, 0, "failed_messages_had_their_tries"),
    Mutation("a delivery is given up at its first refusal", given_up_at_once, 0, "failures_are_the_networks"),
    Mutation(
        "attempts follow one another at once",
        attempts_without_pause,
        5,
        "networks_get_the_pause_they_ask_for",
    ),
    Mutation("a runner that has nothing to do stays", idle_runners_stay, 0, "idle_runners_are_stopped"),
    Mutation("nobody hears of a task that failed", failed_tasks_untold, 4, "failed_messages_are_told"),
    Mutation("files of users are not stored", attachments_lost, 0, "files_are_kept"),
    Mutation("destinations have one another's addresses", destinations_mixed_up, 0, "projections_are_true"),
)


def found(mutation: Mutation | None, seed: int) -> str:
    """The invariant that a household of this seed breaks, with that bug or without one; empty: none."""
    with pytest.MonkeyPatch.context() as patch, quiet():
        if mutation is not None:
            mutation.plant(patch)
        violations = play(household(seed, hours=HOURS, faults=FAULTS)).violations
    return violations[0].invariant if violations else ""


def search(mutation: Mutation, seeds: int) -> tuple[int, str]:
    """The first seed at which it is found, and as what; -1 where it is not."""
    hits = ((seed, invariant) for seed in range(seeds) if (invariant := found(mutation, seed)))
    return next(hits, (-1, "not found"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Play them; the exit code is 1 where one was not found as it should be."""
    parser = argparse.ArgumentParser(description="Bugs that are put in on purpose, and found.")
    parser.add_argument("words", nargs="*", metavar="WORDS", help="those with all of these in their names")
    parser.add_argument(
        "--search", type=int, metavar="N", help="each at the first N seeds, until it is found"
    )
    options = parser.parse_args(arguments)
    named = [each for each in MUTATIONS if all(word in each.name for word in options.words)]
    if not named:
        names = "\n  ".join(each.name for each in MUTATIONS)
        parser.error(f"no bug has {' and '.join(map(repr, options.words))} in its name; there are\n  {names}")
    missed = 0
    for mutation in named:
        if options.search is None:
            seed, invariant = mutation.seed, found(mutation, mutation.seed)
            missed += invariant != mutation.invariant
        else:
            seed, invariant = search(mutation, options.search)
            missed += seed < 0
        sys.stdout.write(f"| {mutation.name} | {seed} | `{invariant}` |\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
