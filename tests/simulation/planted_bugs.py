"""Bugs planted through public seams, one for each class of promise, and the check that finds each.

A bug is a channel, a runtime, a wake-up or a provider that misbehaves, or SQL in a session's files.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from itertools import count
from pathlib import Path
from typing import Any, cast

import trio
from attrs import Factory, define, evolve, frozen

from agent_runner.providers import Provider, ProviderContext, Toolbox, TurnHandler
from agent_runner.records import Result, Turn
from agent_runner.seams import Seams as RunnerSeams
from nanoclaw.channels.protocol import DraftingSender, Outcome, Sender
from nanoclaw.channels.wrapper import ChannelWrapper
from nanoclaw.gateway import ModelServers, UpstreamAnswer, UpstreamRequest
from nanoclaw.host import Seams
from nanoclaw.records import (
    Address,
    Clicked,
    Deleted,
    Event,
    InboundEvent,
    Intake,
    Outgoing,
    Reacted,
    Receipt,
    Routed,
    TextContent,
    Webhook,
)
from nanoclaw.runtimes import Death, Runner, RunnerSpec, RuntimeWrapper, StartFailed
from nanoclaw.simulation.faults import fault_names
from nanoclaw.simulation.people import APPROVALS, OWNER
from nanoclaw.simulation.run import run_workload
from nanoclaw.simulation.workload import LOBBIES, VISITORS, draw_workload
from nanoclaw.system.wakeups import Wakeups
from nanoclaw.testing import World
from nanoclaw.testing.silent_logs import silent_logs
from nanoclaw.testing.world.executor import When

HOURS, BRIEF_H = 3.0, 0.4
FAULTS = fault_names("all")
SEVENTH = 7
Plant = Callable[[World], None]


@frozen
class PlantedBug:
    """A bug: its name, how it is planted, and the check and the seed that find it."""

    name: str
    plant: Plant
    check: str
    seed: int = 0
    hours: float = HOURS


# -- channels that misbehave -------------------------------------------------------

Deliver = Callable[[Sender, Outgoing], Awaitable[Receipt]]


async def _pass_on(sender: Sender, outgoing: Outgoing) -> Receipt:
    return await sender.deliver(outgoing)


@frozen
class BadChannel(ChannelWrapper):
    """Changes what passes through it."""

    deliver: Deliver = _pass_on
    change: Callable[[Event], Event] = lambda event: event
    outcome: Callable[[Outcome], Outcome] = lambda outcome: outcome

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        async with self.channel.sender() as sender:
            yield _BadSender(sender, self)

    async def receive(self, intake: Intake, /) -> None:
        await self.channel.receive(_BadIntake(intake, self.change))


@frozen
class _BadSender:
    sender: Sender
    channel: BadChannel

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        return await self.channel.deliver(self.sender, outgoing)

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        return await self.sender.find(outgoing)

    async def typing(self, address: Address, /) -> None:
        await self.sender.typing(address)

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None:
        await self.sender.settled(address, platform_message_id, self.channel.outcome(outcome))

    async def draft(self, address: Address, text: str, /) -> None:
        await cast("DraftingSender", self.sender).draft(address, text)


@frozen
class _BadIntake:
    intake: Intake
    change: Callable[[Event], Event]

    async def offer(self, event: Event) -> Routed:
        return await self.intake.offer(self.change(event))


def channel(**behaviour: Any) -> Plant:
    def plant(world: World) -> None:
        world.wrap_channel = lambda one: BadChannel(one, **behaviour)

    return plant


def sent_as(change: Callable[[Outgoing], Outgoing]) -> Plant:
    async def deliver(sender: Sender, outgoing: Outgoing) -> Receipt:
        return await sender.deliver(change(outgoing))

    return channel(deliver=deliver)


def cut(outgoing: Outgoing) -> Outgoing:
    content = outgoing.content
    if not isinstance(content, TextContent):
        return outgoing
    return evolve(outgoing, content=evolve(content, text=content.text[:6]))


def without_files(outgoing: Outgoing) -> Outgoing:
    return evolve(outgoing, files=())


def completed(_outcome: Outcome) -> Outcome:
    return "completed"


def seventh_unsent() -> Plant:
    numbers = count(1)

    async def deliver(sender: Sender, outgoing: Outgoing) -> Receipt:
        return Receipt(None) if next(numbers) % SEVENTH == 0 else await sender.deliver(outgoing)

    return channel(deliver=deliver)


async def sent_twice(sender: Sender, outgoing: Outgoing) -> Receipt:
    await sender.deliver(outgoing)
    return await sender.deliver(outgoing)


def heard_as(change: Callable[[InboundEvent], InboundEvent]) -> Plant:
    return channel(change=lambda event: change(event) if isinstance(event, InboundEvent) else event)


def visitors_pass_for_members(world: World) -> None:
    def member(address: Address) -> str:
        return world.chats[address.channel_type, address.platform_id].members[0].id

    def change(event: Event) -> Event:
        if isinstance(event, Clicked):
            return evolve(event, user_id=member(event.address)) if _is_visitor(event.user_id) else event
        if not isinstance(event, InboundEvent) or not _is_visitor(event.message.sender_id):
            return event
        return evolve(event, message=evolve(event.message, sender_id=member(event.address)))

    world.wrap_channel = lambda one: BadChannel(one, change=change)


def visitors_click(world: World) -> None:
    visitors_pass_for_members(world)
    passed = world.wrap_channel

    def wrap(one: Any) -> BadChannel:
        bad = passed(one)
        assert isinstance(bad, BadChannel)
        return evolve(bad, change=lambda event: bad.change(event) if isinstance(event, Clicked) else event)

    world.wrap_channel = wrap


def _is_visitor(user_id: str | None) -> bool:
    return (user_id or "").partition(":")[2] in VISITORS


def nobody_is_known(event: InboundEvent) -> InboundEvent:
    return evolve(event, message=evolve(event.message, sender_id="fake:nobody"))


def without_attachments(event: InboundEvent) -> InboundEvent:
    return evolve(event, message=evolve(event.message, attachments=()))


def mentioned(event: InboundEvent) -> InboundEvent:
    return evolve(event, message=evolve(event.message, is_mention=True))


def remarks_of_the_owner(event: Event) -> Event:
    return evolve(event, sender_id=f"fake:{OWNER}") if isinstance(event, Deleted | Reacted) else event


def webhooks_to_everybody(world: World) -> None:
    def change(event: Event) -> Event:
        if not isinstance(event, Webhook) or event.address.platform_id not in LOBBIES:
            return event
        wired = next(chat for _, chat in world.chats if chat not in LOBBIES)
        return evolve(event, address=Address(event.address.channel_type, wired))

    world.wrap_channel = lambda one: BadChannel(one, change=change)


def always_the_first_name(event: InboundEvent) -> InboundEvent:
    return evolve(event, chat_name=event.address.platform_id)


def pressed_by_the_owner(event: Event) -> Event:
    if isinstance(event, Clicked) and event.question_id.startswith(APPROVALS):
        return evolve(event, user_id=f"fake:{OWNER}")
    return event


def pressed_other(event: Event) -> Event:
    if not isinstance(event, Clicked):
        return event
    return evolve(event, value="no" if event.value == "yes" else "yes")


# -- providers that misbehave --------------------------------------------------------


@frozen
class _BadProvider:
    provider: Provider
    change: Callable[[Turn], Turn] = lambda turn: turn
    outcome: Callable[[Result], Result] = lambda result: result

    @property
    def name(self) -> str:
        return self.provider.name

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        async with self.provider.open(context) as handler:
            yield _BadTurns(handler, self)


@frozen
class _BadTurns:
    handler: TurnHandler
    bug: _BadProvider

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        return self.bug.outcome(await self.handler.run(self.bug.change(turn), tools))


def provider(change: Callable[[Turn], Turn]) -> Plant:
    return runner_seams(lambda seams: evolve(seams, provider=_BadProvider(seams.provider, change)))


def results(outcome: Callable[[Result], Result]) -> Plant:
    return runner_seams(lambda seams: evolve(seams, provider=_BadProvider(seams.provider, outcome=outcome)))


def runner_seams(change: Callable[[RunnerSeams], RunnerSeams]) -> Plant:
    def plant(world: World) -> None:
        wrap = world.runtime.wrap
        world.runtime.wrap = lambda spec, seams: change(wrap(spec, seams))

    return plant


def nothing_sent(turn: Turn) -> Turn:
    return evolve(turn, already_sent=())


def forgotten(result: Result) -> Result:
    return evolve(result, state={})


def backwards(turn: Turn) -> Turn:
    return evolve(turn, messages=tuple(turn.messages[::-1]))


def no_context(turn: Turn) -> Turn:
    return evolve(turn, context=())


def renamed_senders(turn: Turn) -> Turn:
    renamed = [evolve(one, content={**one.content, "senderId": "fake:somebody"}) for one in turn.messages]
    return evolve(turn, messages=tuple(renamed))


# -- runtimes that misbehave -----------------------------------------------------------


@define(eq=False)
class BadRuntime(RuntimeWrapper):
    """Does something else than its runtime when a runner starts. `wrap` may replace the runner."""

    wrap: Callable[[Runner], Runner] = lambda runner: runner
    beside: Callable[[RunnerSpec, Runner], Awaitable[None]] | None = None
    starts: int = 10**9

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        self.starts -= 1
        if self.starts < 0:
            raise StartFailed("it starts no more runners")
        async with trio.open_nursery() as nursery:
            death = await self.runtime.run(spec, task_status=_Started(self, spec, nursery, task_status))
            nursery.cancel_scope.cancel()
        return death


@define(eq=False, slots=False)
class _Started(trio.TaskStatus[Runner]):
    runtime: BadRuntime
    spec: RunnerSpec
    nursery: trio.Nursery
    status: trio.TaskStatus[Runner]

    def started(self, value: Runner) -> None:
        if self.runtime.beside is not None:
            self.nursery.start_soon(self.runtime.beside, self.spec, value)
        self.status.started(self.runtime.wrap(value))


@frozen
class _Unstoppable:
    runner: Runner

    def stop(self) -> None: ...


def runtime(**behaviour: Any) -> Plant:
    def plant(world: World) -> None:
        world.seams = lambda seams: evolve(
            seams, runtime=BadRuntime(seams.runtime or world.runtime, **behaviour)
        )

    return plant


async def stops_at_work(_spec: RunnerSpec, runner: Runner) -> None:
    await trio.sleep(7)
    runner.stop()


def always_beats(world: World) -> None:
    async def beat(spec: RunnerSpec, _runner: Runner) -> None:
        while True:
            await trio.sleep(5)
            now = int(world.now.timestamp() * 1e9)
            with suppress(FileNotFoundError):
                os.utime(spec.paths.heartbeat, ns=(now, now))

    runtime(beside=beat)(world)


# -- wake-ups that are lost --------------------------------------------------------------


@define(eq=False)
class LossyWakeups:
    """Loses every seventh wake-up, of the host or of a runner."""

    wakeups: Any
    numbers: Iterator[int] = Factory(lambda: count(1))

    def watch(self, directory: Path, changed: Callable[[], None], *drafted: Callable[[], None]) -> Any:
        def most_often() -> None:
            if next(self.numbers) % SEVENTH:
                changed()

        return self.wakeups.watch(directory, most_often, *drafted)

    def polled(self, directory: Path) -> str | None:
        return self.wakeups.polled(directory)  # type: ignore[no-any-return]  # the host's have it

    async def run(self) -> None:
        await self.wakeups.run()


def deaf_host(world: World) -> None:
    def lossy(open_: Callable[[], AbstractContextManager[Wakeups]]) -> Any:
        @contextmanager
        def opened() -> Iterator[LossyWakeups]:
            with open_() as wakeups:
                yield LossyWakeups(wakeups)

        return opened

    world.seams = lambda seams: evolve(seams, wakeups=lossy(seams.wakeups))


def deaf(seams: RunnerSeams) -> RunnerSeams:
    return evolve(seams, wakeups=LossyWakeups(seams.wakeups))


# -- files that are edited ----------------------------------------------------------------


def sql(file: str, *statements: str) -> Plant:
    """Run statements in a session's file after each commit to it. They may create triggers."""

    def plant(world: World) -> None:
        def edit(path: Path, when: When, n: int) -> None:
            del n
            if when == "after" and path.name == file:
                # Another library than the product's, which refuses a second writer in its process.
                with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=0)) as db, db:
                    for statement in statements:
                        db.execute(statement)

        world.commit_hooks.append(edit)

    return plant


def inbound(event: str, statement: str) -> Plant:
    """Create a trigger in `inbound.db`."""
    return sql("inbound.db", f"CREATE TRIGGER IF NOT EXISTS bug AFTER {event} BEGIN {statement}; END")


# -- models that misbehave ---------------------------------------------------------


COUNTED = b'"cached_tokens": 1'


@frozen
class _SilentOnUsage:
    """The servers of models. They report no cached tokens, by which the ledger counts answers."""

    models: ModelServers

    @asynccontextmanager
    async def ask(self, request: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
        async with self.models.ask(request) as answer:
            body = (
                piece.replace(b'"cached_tokens": 1', b'"cached_tokens": 0') async for piece in answer.body
            )
            yield UpstreamAnswer(answer.status, answer.headers, body)


def usage_is_lost(world: World) -> None:
    seams = world.seams

    def changed(usual: Seams) -> Seams:
        own = seams(usual)
        return evolve(own, models=_SilentOnUsage(cast("ModelServers", own.models)))

    world.seams = changed


NEW_TASK = "INSERT ON messages_in WHEN new.kind = 'task'"
NEXT_RUN = f"{NEW_TASK} AND new.series_id <> new.id"
LOSE = "DELETE FROM messages_in WHERE id = new.id"
DELAY = """
    UPDATE messages_in SET slot = strftime('%Y-%m-%dT%H:%M:%fZ', slot, '+1 minute'),
      process_after = strftime('%Y-%m-%dT%H:%M:%fZ', slot, '+1 minute')
    WHERE id = new.id
    """

IS_REACTION = 'new.content GLOB \'{"type":"reaction",*\''
IS_DELETION = 'new.content GLOB \'{"type":"deleted"*\''
LOSE_DELETED = "DELETE FROM messages_in WHERE seq = json_extract(new.content, '$.messageId')"
FROM_AGENT = "INSERT ON messages_in WHEN new.source_session_id IS NOT NULL AND new.id NOT LIKE '%-again'"
HEAR_TWICE = """
    INSERT INTO messages_in (id, seq, kind, timestamp, status, platform_id, channel_type, content,
      source_session_id, causation_id, hops)
    VALUES (new.id || '-again', new.seq - 1, new.kind, new.timestamp, 'completed', new.platform_id,
      new.channel_type, new.content, new.source_session_id, new.causation_id, new.hops)
    """
OTHER_CAUSE = "UPDATE messages_in SET causation_id = 'another' WHERE id = new.id"

BUGS: tuple[PlantedBug, ...] = (
    # deliveries
    PlantedBug("texts are cut at six characters", sent_as(cut), "replies_arrive_as_they_are"),
    PlantedBug("a message counts as sent and is not", seventh_unsent(), "delivered_messages_have_arrived"),
    PlantedBug("messages are sent twice", channel(deliver=sent_twice), "channels_are_asked_after_the_ledger"),
    PlantedBug("files are left out", sent_as(without_files), "files_arrive", 5, BRIEF_H),
    PlantedBug("all counts as completed", channel(outcome=completed), "outcomes_are_told_as_they_are", 2),
    # access
    PlantedBug("visitors pass for members", visitors_pass_for_members, "unknown_senders_are_not_heard", 4),
    PlantedBug("strangers decide", channel(change=pressed_by_the_owner), "only_the_eligible_decide", 1),
    PlantedBug("members are not known", heard_as(nobody_is_known), "admitted_users_are_heard"),
    PlantedBug("visitors click as members", visitors_click, "unknown_senders_decide_nothing", 6, BRIEF_H),
    PlantedBug("users' files are dropped", heard_as(without_attachments), "files_are_kept", 5, BRIEF_H),
    PlantedBug("all mentions the agent", heard_as(mentioned), "only_mentions_wake_the_agent", 1),
    PlantedBug("another button is pressed", channel(change=pressed_other), "questions_have_one_answer", 1),
    # remarks, webhooks and names
    PlantedBug(
        "strangers react as the owner",
        channel(change=remarks_of_the_owner),
        "remarks_of_strangers_are_not_heard",
    ),
    PlantedBug(
        "a session forgets what it sent when there is a reaction to it",
        inbound(
            f"INSERT ON messages_in WHEN {IS_REACTION}",
            "UPDATE deliveries SET message_out_id = 'other-' || message_out_id",
        ),
        "reactions_reach_their_session",
    ),
    PlantedBug("webhooks reach another chat", webhooks_to_everybody, "webhooks_reach_wired_chats_only"),
    PlantedBug("chats keep their first name", heard_as(always_the_first_name), "chats_have_their_names", 5),
    PlantedBug(
        "messages of users are lost behind their deletion",
        inbound('INSERT ON messages_in WHEN new.content GLOB \'{"type":"deleted"*\'', LOSE_DELETED),
        "deletions_reach_the_message",
    ),
    # messages between agents
    PlantedBug(
        "agents hear each other twice",
        inbound(FROM_AGENT, HEAR_TWICE),
        "agents_hear_each_other_once",
        2,
    ),
    PlantedBug("a chain has another cause", inbound(FROM_AGENT, OTHER_CAUSE), "cause_and_effect_agree", 2),
    PlantedBug(
        "cuts are not told",
        inbound("INSERT ON messages_in WHEN new.id LIKE 'cut-%'", LOSE),
        "cut_chains_are_told",
        2,
    ),
    # context of an agent
    PlantedBug(
        "a retold turn hears nothing",
        provider(nothing_sent),
        "mid_turn_messages_are_sent_once",
        10,
        BRIEF_H,
    ),
    PlantedBug("a turn has its messages backwards", provider(backwards), "turns_are_in_order", 1),
    PlantedBug("an agent is not told the context", provider(no_context), "completed_messages_were_heard"),
    PlantedBug("somebody else says everything", provider(renamed_senders), "agents_hear_what_was_said"),
    # runners and wake-ups
    PlantedBug("a wake-up of the host is lost", deaf_host, "replies_are_seen_at_once", 0, BRIEF_H),
    PlantedBug("a wake-up of a runner is lost", runner_seams(deaf), "due_work_is_claimed_at_once", 1),
    PlantedBug("a stuck runner still beats", always_beats, "stuck_runners_are_replaced", 3),
    PlantedBug("no runner stops", runtime(wrap=_Unstoppable), "paused_sessions_rest", 2),
    PlantedBug("runners stop at work", runtime(beside=stops_at_work), "busy_runners_are_not_stopped", 1),
    PlantedBug("only one runner starts", runtime(starts=1), "accepted_messages_have_an_outcome", 4, 0.2),
    # agents that ask a model
    PlantedBug("a turn is not remembered", results(forgotten), "completed_turns_are_remembered_once", 2, 1.0),
    PlantedBug("usage gets lost", usage_is_lost, "all_answers_are_counted", 0, 0.8),
    # the ledger and the messages
    PlantedBug(
        "attempts are not recorded",
        inbound("UPDATE ON deliveries WHEN new.attempts > 0", "UPDATE deliveries SET attempts = 0"),
        "ledger_agrees_with_itself",
    ),
    PlantedBug(
        "receipts are mixed up",
        inbound("INSERT ON delivered", "UPDATE delivered SET platform_message_id = 'fake-0'"),
        "receipts_come_from_the_network",
    ),
    PlantedBug(
        "a confirmed message is not stored",
        inbound("INSERT ON messages_in WHEN new.kind = 'chat'", LOSE),
        "accepted_messages_are_kept",
    ),
    PlantedBug(
        "the mark of `seq` is not kept",
        sql("inbound.db", "UPDATE meta SET value = '2' WHERE key = 'seq'"),
        "marks_are_above_what_was_given",
    ),
    PlantedBug(
        "answers go to the group instead of the thread",
        sql("outbound.db", "UPDATE messages_out SET thread_id = NULL"),
        "answers_arrive_where_was_asked",
    ),
    PlantedBug(
        "destinations have another address",
        inbound("INSERT ON destinations", "UPDATE destinations SET platform_id = 'elsewhere'"),
        "projections_are_true",
    ),
    # retries and tasks
    PlantedBug(
        "a retry does not wait",
        sql("inbound.db", "UPDATE messages_in SET process_after = NULL WHERE tries > 0"),
        "retries_wait",
    ),
    PlantedBug("slots are a minute late", inbound(NEW_TASK, DELAY), "slots_fit_their_schedules", 1),
    PlantedBug("nothing follows a run", inbound(NEXT_RUN, LOSE), "tasks_are_as_they_were_asked_for", 1),
)


def found(bug: PlantedBug) -> tuple[str, ...]:
    """Run a workload with the bug; return the checks that it breaks."""
    with silent_logs():
        workload = draw_workload(bug.seed, hours=bug.hours, faults=FAULTS)
        violations = run_workload(workload, alter=bug.plant).violations
    return tuple(dict.fromkeys(violation.invariant for violation in violations))
