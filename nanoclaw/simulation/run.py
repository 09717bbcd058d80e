"""Runs a workload: users send messages, faults strike, the host is restarted, and checks run.

A run ends with the first violation. Without one it ends once all faults have ended, all work is
done, and the last checks have passed.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from random import Random

import trio
from attrs import Factory, define, evolve, field, frozen
from trio.testing import MockClock

from nanoclaw.config import Config
from nanoclaw.host import HostFailed
from nanoclaw.simulation.button_presses import ButtonPresses
from nanoclaw.simulation.checks import PROMPTNESS_CHECKS, REST_CHECKS, STEP_CHECKS
from nanoclaw.simulation.checks.promptness import PROMPT_S
from nanoclaw.simulation.fault_injector import FaultInjector
from nanoclaw.simulation.fault_table import inject
from nanoclaw.simulation.model_ledger import CountedModel, ModelLedger
from nanoclaw.simulation.network import FaultyNetwork
from nanoclaw.simulation.other_events import OtherEvent, OtherEvents
from nanoclaw.simulation.people import OWNER, Change, Decisions, Household
from nanoclaw.simulation.quiescence import QuiescenceWatch
from nanoclaw.simulation.rights import RightsLog
from nanoclaw.simulation.scripted_agent import FILE, ScriptedAgent
from nanoclaw.simulation.scripted_model import KEY, KEY_VARIABLE, ScriptedModel
from nanoclaw.simulation.snapshot import NOTES, Check, Snapshot, found, readable
from nanoclaw.simulation.workload import LOBBIES, VISITORS, PlannedChat, Say, Workload
from nanoclaw.store.engine.times import to_text
from nanoclaw.testing.invariants import Asked, opened_once
from nanoclaw.testing.world.chats import Chat, User
from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.executor import When
from nanoclaw.testing.world.timeline import Timeline
from nanoclaw.testing.world.world import World

POLL_S = 1e6
"""Seconds between slow polls: so many that a lost wake-up is noticed."""
RESTARTED_WITHIN_S = 60.0
LOOK_S = 600.0
"""Checks run at each step, and also every so many seconds."""
HEARD_WITHIN_S = 6 * 3600.0
"""Seconds after the last fault within which every message must be confirmed."""
MODEL_SILENT_S = 100.0
"""Seconds of silence after which a model's server is given up."""
REST_S, RESTS = 97.0, 250
"""A workload must come to rest within `RESTS` pauses of `REST_S` seconds."""
MOST_LINES = 300_000
"""The maximum number of timeline lines. More mean an endless loop."""


@frozen
class Violation:
    """An invariant that did not hold."""

    invariant: str
    sentence: str
    at: float
    """Virtual seconds from the beginning."""

    def __str__(self) -> str:
        return f"{self.at:.1f} s: {self.invariant}: {self.sentence}"


@frozen
class RunResult:
    """The result of one workload."""

    seed: int
    steps: int
    virtual_s: float
    messages: int
    """The number of users' messages that the host confirmed."""
    deliveries: int
    commits: int
    restarts: int
    strikes: Counter[str]
    """Faults that struck, by name."""
    violations: tuple[Violation, ...]
    sessions: Mapping[str, str] = field(repr=False)
    """The place of each session, by its id: the chat, and the thread after a slash."""
    timeline: Timeline = field(repr=False)
    missed: tuple[tuple[str, str], ...] = ()
    """Faults that did not strike at the point given for them, with the reason."""
    events: Mapping[str, str] = field(factory=dict, repr=False)
    """By id of a `messages_in` row, the event that it came from."""
    others: tuple[str, ...] = ()
    """Other invariants that shorter versions of the workload broke."""


def run_workload(
    workload: Workload, invariants: Sequence[Check] = (), *, alter: Callable[[World], None] = lambda _: None
) -> RunResult:
    """Run a workload from its beginning to its end. This calls `trio.run`.

    `invariants` are additional checks. `alter` may change the world before its host starts.
    """
    with _key_in_environment():
        return trio.run(_run, workload, invariants, alter, clock=MockClock(autojump_threshold=0))


@contextmanager
def _key_in_environment() -> Iterator[None]:
    """Give this process the key of the model's server, as an owner does."""
    before = os.environ.get(KEY_VARIABLE)
    os.environ[KEY_VARIABLE] = KEY
    try:
        yield
    finally:
        os.environ.pop(KEY_VARIABLE)
        if before is not None:
            os.environ[KEY_VARIABLE] = before


async def _run(workload: Workload, invariants: Sequence[Check], alter: Callable[[World], None]) -> RunResult:
    network, tally = FaultyNetwork(repeat=workload.repeat), Tally()
    ledger = ModelLedger()
    world = _world(workload, network, ledger)
    try:
        async with world:
            world.clock.epoch, world.timeline.home = workload.began, str(world.home)
            injector = FaultInjector(world, network, tally.strikes, tally.missed)
            ledger.database = world.home / "data" / "v2.db"
            world.timeline.steps.append(ledger.note)
            alter(world)
            await WorkloadRun(workload, world, network, injector, ledger, tuple(invariants), tally).live()
    except Exception as error:  # noqa: BLE001 -- any error is a violation
        if not tally.violations:
            tally.violations.append(Violation("nothing_breaks", repr(error), trio.current_time()))
    return RunResult(
        workload.seed,
        len(workload.steps),
        trio.current_time(),
        len({one.event.message.text for one in network.accepted}),
        len(network.sent),
        world.executor.commits,
        tally.restarts,
        tally.strikes,
        tuple(tally.violations),
        _places(network),
        world.timeline,
        tuple(tally.missed),
        {one.event.message_id: one.event.event_id for one in network.accepted},
    )


def _world(workload: Workload, network: FaultyNetwork, ledger: ModelLedger) -> World:
    settings = {
        "timezone": workload.zone,
        "runtime.slow_poll_s": POLL_S,
        "model.timeout_s": MODEL_SILENT_S,
        "model.key": {"env": KEY_VARIABLE},
        **workload.settings,
    }
    timeline = Timeline()
    model = ScriptedModel(workload.seed, timeline.add, lambda: world.now)
    world: World = World(
        seed=workload.seed,
        channel=network,
        settings=settings,
        outliving=workload.outliving,
        timeline=timeline,
        model=CountedModel(model, keeps=False, ledger=ledger),
    )
    return world


def _places(network: FaultyNetwork) -> Mapping[str, str]:
    places = dict[str, str]()
    for one in network.accepted:
        address = one.event.address
        place = f"{address.platform_id}/{address.thread_id}" if address.thread_id else address.platform_id
        places.update(dict.fromkeys(one.routed.session_ids, place))
    return places


@define(eq=False)
class Tally:
    """The counts of a run."""

    restarts: int = 0
    strikes: Counter[str] = Factory(Counter)
    missed: list[tuple[str, str]] = Factory(list)
    violations: list[Violation] = Factory(list)


class Violated(Exception):
    """Ends a run. The tally has the violations."""


@define(eq=False)
class WorkloadRun:
    """The run of one workload in its world."""

    workload: Workload
    world: World
    network: FaultyNetwork
    injector: FaultInjector
    ledger: ModelLedger
    invariants: tuple[Check, ...]
    tally: Tally
    _chats: dict[str, Chat] = Factory(dict)
    _users: dict[str, User] = Factory(dict)
    _over: bool = False
    _judged: Exception | None = None
    """The last failure of the host, so that each is judged only once."""
    _lines: int = 0
    _changed: set[str] = Factory(set)
    """The sessions with a commit since the last checks."""
    _quiescence: QuiescenceWatch = field(init=False)
    _rights: RightsLog = field(
        init=False,
        default=Factory(
            lambda self: RightsLog(self.world.home / "data" / "v2.db", trio.current_time), takes_self=True
        ),
    )
    _decisions: Decisions = field(
        init=False, default=Factory(lambda self: self._decisions_of_people(), takes_self=True)
    )

    async def live(self) -> None:
        """Run from the first start of the host to the last check."""
        await self._move_in()
        self.world.timeline.steps.append(self._count_lines)
        self.world.commit_hooks.append(self._note_change)
        quiescence = self._quiescence = QuiescenceWatch(self.world, self.injector, self._look_at_quiet)
        self.world.timeline.steps.append(quiescence.note)
        async with trio.open_nursery() as house:
            house.start_soon(self._keep_host)
            house.start_soon(self._look_often)
            house.start_soon(quiescence.watch)
            house.start_soon(self._button_presses().press)
            house.start_soon(self._decisions.press)
            await self._speak_and_suffer()
            await self.injector.make_up()
            await self._come_to_rest()
            self._over = True
            house.cancel_scope.cancel()
        await self._leave()

    async def _move_in(self) -> None:
        self.network.opens_dms = True
        await self.world.start()
        await self.world.grant(self.world.user(OWNER), "owner")
        brain = ScriptedAgent(lambda: self.world.clock)
        self._users.update((name, self.world.user(name)) for name in VISITORS)
        for planned in self.workload.chats:
            await self._furnish(planned, brain)
        await self._introduce()
        visitors = [self._users[name] for name in VISITORS]
        self._chats.update((user.name, self.world.chat(user)) for user in visitors)
        self._chats.update((name, self.world.group(name, visitors)) for name in LOBBIES)
        self._rights.look()

    @cached_property
    def _config(self) -> Config:
        return self.world.config()

    def _button_presses(self) -> ButtonPresses:
        chats = self.workload.chats
        users = {each.name: [self._users[name].id for name in each.users] for each in chats}
        strangers = [self._users[name].id for name in VISITORS]
        return ButtonPresses(self.workload.seed, self.network, users, strangers, self.world.timeline)

    def _decisions_of_people(self) -> Decisions:
        strangers = [self.world.user(name).id for name in VISITORS]
        seed, timeline = self.workload.seed, self.world.timeline
        return Decisions(seed, self.network, self._rights, strangers, timeline)

    async def _furnish(self, planned: PlannedChat, brain: ScriptedAgent) -> None:
        world = self.world
        users = [self._users.setdefault(name, world.user(name)) for name in planned.users]
        chat = world.group(planned.name, users) if planned.is_group else world.chat(users[0])
        mind = None if planned.agent in self.workload.modelled else brain
        agent = world.agents.get(planned.agent) or world.agent(planned.agent, mind)
        mode, rules = planned.session_mode, planned.trigger_rules
        await world.wire(chat, agent, policy=planned.policy, session_mode=mode, trigger_rules=rules)
        for n, user in enumerate(users if planned.policy != "public" else ()):
            await (world.admit(user, agent) if n else world.grant(user, "admin", agent))
        workspace = world.home / "groups" / planned.agent / "workspace"
        workspace.mkdir(parents=True, exist_ok=True)
        (workspace / FILE).write_text(NOTES)
        self._chats[planned.name] = chat

    async def _introduce(self) -> None:
        """Give each agent the others as destinations, by the names of their folders."""
        admin = self.world.host.admin
        groups = {group.folder: group.id for group in await admin.agent_groups.list()}
        for own, id_ in groups.items():
            for other in sorted(groups.keys() - {own}):
                await admin.destinations.create(id_, "agent", groups[other], local_name=other)

    def _count_lines(self, _event: str, _details: tuple[object, ...]) -> None:
        self._lines += 1
        if self._lines > MOST_LINES:
            raise RuntimeError(f"the timeline has more than {MOST_LINES} lines: the code loops")

    # -- restarts of the host

    async def _keep_host(self) -> None:
        random = Random(f"keeper {self.workload.seed}")  # noqa: S311 -- a simulation has no secrets
        while True:
            failure = await self.world.ended()
            if self._over:
                return
            self._judge(failure)
            await trio.sleep(random.uniform(0.5, RESTARTED_WITHIN_S))
            async with self.injector.damage.hands:
                await self._start()

    async def _start(self) -> None:
        self.tally.restarts += 1
        try:
            await self.world.start()
        except HostFailed as error:
            self._judge(error)
        except WorldError:  # it was killed while it started
            pass

    def _judge(self, failure: Exception | None) -> None:
        """Report a failure of the host as a violation, unless its disk failed."""
        if failure is None or failure is self._judged:
            return
        self._judged = failure
        self.world.timeline.add("host failed", repr(failure))
        if not (isinstance(failure, HostFailed) and self.injector.excuses()):
            self._violated([("hosts_fail_with_their_disk_only", repr(failure))])

    # -- messages and faults

    async def _speak_and_suffer(self) -> None:
        streams = defaultdict[tuple[str, str, str | None], list[Say]](list)
        for step in self.workload.steps:
            if isinstance(step, Say):
                streams[step.user, step.chat, step.thread].append(step)
        began = trio.current_time()
        limit = self.workload.ends_at + HEARD_WITHIN_S
        with trio.move_on_after(limit) as scope:
            async with trio.open_nursery() as nursery:
                for stream in streams.values():
                    nursery.start_soon(self._speak, began, stream)
                nursery.start_soon(self._change_rights, began)
                for step in self.workload.steps:
                    if isinstance(step, OtherEvent):
                        nursery.start_soon(self._do_otherwise, began, step)
                await self._suffer(began)
        if scope.cancelled_caught:
            self._violated(
                [
                    (
                        "messages_are_confirmed_in_time",
                        f"a message was not confirmed within {HEARD_WITHIN_S:g} s",
                    )
                ]
            )

    async def _speak(self, began: float, says: Sequence[Say]) -> None:
        for say in says:
            await trio.sleep_until(began + say.at)
            chat = self._chats[say.chat]
            chat = chat.thread(say.thread) if say.thread else chat
            user = self._users[say.user]
            if say.instead_of is None:
                await user.says(say.text, in_=chat, mention=say.mention, files=say.files, within=1e9)
            else:
                await self._edit(say, say.instead_of)
            self.look()

    async def _change_rights(self, began: float) -> None:
        people = [
            f"{self.network.channel_type}:{name}" for planned in self.workload.chats for name in planned.users
        ]
        visitors = [self._users[name].id for name in VISITORS]
        household = Household(self.world, self._rights, people, visitors, tuple(self._chats.values()))
        for step in self.workload.steps:
            if isinstance(step, Change):
                await trio.sleep_until(began + step.at)
                await household.change(step)
                self.look()

    async def _do_otherwise(self, began: float, other: OtherEvent) -> None:
        await trio.sleep_until(began + other.at)
        await self._other_events.offer(other)
        self.look()

    @cached_property
    def _other_events(self) -> OtherEvents:
        addresses = {name: chat.address for name, chat in self._chats.items()}
        users = {name: user.id for name, user in self._users.items()}
        return OtherEvents(self.network, self.world.timeline, addresses, users)

    async def _edit(self, say: Say, said: str) -> None:
        """Offer an edited version of a message."""
        event = next(one.event for one in self.network.accepted if one.event.message.text == said)
        message = evolve(event.message, text=say.text, attachments=())
        self.world.timeline.add("edited", say.chat, say.user, event.event_id, repr(say.text))
        await self.network.offer(evolve(event, version="2", message=message))

    async def _suffer(self, began: float) -> None:
        async with self.injector.open():
            for step in self.workload.steps:
                if not isinstance(step, Say | Change | OtherEvent):
                    await trio.sleep_until(began + step.at)
                    await inject(self.injector, step)
                    self.look()
            await trio.sleep_until(began + self.workload.ends_at)
            await self._ask_for_damage()
        await self.injector.heal()

    async def _ask_for_damage(self) -> None:
        """Check that the status reports damaged files. A session that does not report one is asked twice."""
        silent = await self._unreported()
        if silent:
            await trio.sleep(REST_S)
            silent &= await self._unreported()
        self._violated([("damage_is_reported", sentence) for sentence in sorted(silent)])

    async def _unreported(self) -> set[str]:
        with suppress(WorldError):
            return set(await self.injector.damage.unreported())
        return set()

    # -- checks

    async def _look_often(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Run the step checks on the sessions that have changed since the last time."""
        self._rights.look()
        with opened_once():
            violated = found(self.snapshot(changed=True), (*STEP_CHECKS, *self.invariants))
        self._violated(violated)
        self._changed.clear()

    def _look_at_quiet(self, sessions: frozenset[str], stuck: frozenset[str]) -> None:
        """Run the promptness checks on quiescent sessions and on those with a stuck runner."""
        runners, since = self.world.runtime.runners, trio.current_time() - PROMPT_S
        living = [id_ for id_, runner in runners.items() if not runner.scope.cancel_called]
        controls = [
            (id_, control) for id_ in living if (control := self.injector.controls.of(id_)) is not None
        ]
        data, spoilt = self.world.home / "data", self.injector.damage.spoilt()
        with opened_once():
            snapshot = Snapshot(
                data=data,
                asked=self._asked(),
                paths=tuple(readable(data, spoilt, sessions)),
                spoilt=spoilt,
                awake=self._awake(),
                resting=frozenset(id_ for id_, one in controls if _before(one.rests_since, since)),
                listening=frozenset(
                    id_ for id_, control in controls if _before(control.listens_since, since)
                ),
                attended=self._quiescence.attended(),
                stuck=sorted(stuck),
                idle=self._quiescence.idle(),
                wronged=tuple(self._quiescence.wronged),
                left_alone=self._quiescence.left_alone(),
                unattended=self._quiescence.unattended(),
                shaken=self._quiescence.shaken,
                now=to_text(self.world.now),
            )
            violated = found(snapshot, PROMPTNESS_CHECKS)
            self._quiescence.look_again(snapshot)
        self._violated(violated)

    def _awake(self) -> frozenset[str]:
        runners = self.world.runtime.runners
        return frozenset(id_ for id_, runner in runners.items() if not runner.abandoned)

    def snapshot(self, *, changed: bool = False) -> Snapshot:
        """Return a snapshot of the world now."""
        network, data, config = self.network, self.world.home / "data", self._config
        spoilt, only = self.injector.damage.spoilt(), self._changed if changed else None
        asked = self._asked()
        return Snapshot(
            data=data,
            accepted=tuple(id_ for one in network.accepted for id_ in one.routed.message_ids),
            asked=asked,
            confirmed=network.accepted,
            clicked=network.clicked,
            others=network.others,
            max_hops=config.agents.max_hops,
            times_asked=Counter(one.key for one in asked),
            arrived=network.sent,
            receipts=network.receipts(),
            heard=self.injector.controls.turn_log.heard,
            turns=self.injector.controls.turn_log.turns,
            homes=self.injector.controls.turn_log.homes,
            pauses=self.injector.controls.turn_log.pauses,
            retry_base_s=config.retry.base_s,
            max_tries=config.retry.max_tries,
            max_attempts=len(config.delivery.backoff_s) + 1,
            settled=network.settled,
            spent=self.injector.retry_accounting.spent,
            unreckoned=self.injector.retry_accounting.unknown,
            repeat=network.repeat,
            paths=tuple(readable(data, spoilt, only)),
            spoilt=spoilt,
            awake=self._awake(),
            attended=self._quiescence.attended(),
            now=to_text(self.world.now),
            zone=self.workload.zone,
            rights=self._rights,
            pressed=self._decisions.pressed,
            kept_at=network.kept_at,
            agents=len({planned.agent for planned in self.workload.chats}),
            patterns={planned.name: planned.pattern for planned in self.workload.chats if planned.pattern},
            modelled=self.injector.controls.modelled,
            given_up=self.injector.controls.turn_log.given_up,
            answered=self.ledger.answered,
            unrecorded=self.ledger.lost,
            mention_only={planned.name for planned in self.workload.chats if planned.mention_only},
        )

    def _asked(self) -> tuple[Asked, ...]:
        return tuple(Asked(one.message_out_id, one.address) for one in self.network.attempts)

    def _note_change(self, path: Path, when: When, n: int) -> None:
        del n
        self._changed.add(path.parents[1].name)
        if self._rights.under_way and when == "after" and path == self._rights.database:
            self._rights.look()

    def _violated(self, sentences: Sequence[tuple[str, str]]) -> None:
        if sentences:
            at = trio.current_time()
            self.tally.violations += [Violation(name, sentence, at) for name, sentence in sentences]
            for name, sentence in sentences:
                self.world.timeline.add("violation", name, sentence)
            raise Violated

    async def _come_to_rest(self) -> None:
        restless = list[tuple[str, str]]()
        for _ in range(RESTS):
            await trio.sleep(REST_S)
            with opened_once():
                restless = found(self.snapshot(), REST_CHECKS)
            if not restless:
                break
        else:
            self._violated(restless)
        self.look()
        self.world.timeline.add("at rest")

    async def _leave(self) -> None:
        """Stop the host gracefully, and check the files that it leaves."""
        await self.world.stop()
        self.look()


def _before(at: float | None, since: float) -> bool:
    return at is not None and at <= since
