"""Plays a household: people speak, faults strike, the host is started again; invariants are checked.

A run ends with the first violation, or when all is healed, has come to rest, and was checked once more.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from random import Random

import trio
from attrs import Factory, define, evolve, field, frozen
from trio.testing import MockClock

from nanoclaw.host import HostFailed
from nanoclaw.store.times import to_text
from nanoclaw.testing.arrivals import ARRIVALS
from nanoclaw.testing.belonging import BELONGING
from nanoclaw.testing.chats import Chat, User
from nanoclaw.testing.clickers import Clickers
from nanoclaw.testing.errands import FILE, Errands
from nanoclaw.testing.errors import WorldError
from nanoclaw.testing.executor import When
from nanoclaw.testing.hearing import HEARING
from nanoclaw.testing.household import VISITORS, Household, Room, Say
from nanoclaw.testing.invariants import Asked, opened_once, replies_keep_their_order
from nanoclaw.testing.mischief import Mischief
from nanoclaw.testing.network import Network
from nanoclaw.testing.quiet import PROMPT_S, QUIET_CHECKS, Quiet
from nanoclaw.testing.reckoning import RECKONING, RECKONING_AT_REST
from nanoclaw.testing.requests import REQUESTS
from nanoclaw.testing.scene import NOTES, REST_CHECKS, STEP_CHECKS, Check, Scene, found, readable
from nanoclaw.testing.timeline import Timeline
from nanoclaw.testing.timetables import TIMETABLES
from nanoclaw.testing.world import World

POLL_S = 1e6
"""Nobody looks by itself: a wake-up that is lost is found."""
RESTARTED_WITHIN_S = 60.0
LOOK_S = 600.0
"""Invariants are checked at each step, and this often."""
HEARD_WITHIN_S = 6 * 3600.0
"""After the last fault everybody is heard within this."""
ALL_STEP_CHECKS: tuple[Check, ...] = (
    *STEP_CHECKS,
    *ARRIVALS,
    *HEARING,
    *BELONGING,
    *RECKONING,
    *TIMETABLES,
    *REQUESTS,
)
"""Asked after each step."""
ALL_REST_CHECKS: tuple[Check, ...] = (*REST_CHECKS, *RECKONING_AT_REST)
"""Asked once everything has come to rest."""
REST_S, RESTS = 97.0, 250
"""It is looked so often, after these pauses, whether everything has come to rest."""
MOST_LINES = 300_000
"""Of a timeline; a world that writes more than that turns in circles."""


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
class Outcome:
    """What came of one household."""

    seed: int
    steps: int
    virtual_s: float
    messages: int
    """That users said and the host confirmed."""
    deliveries: int
    commits: int
    restarts: int
    strokes: Counter[str]
    """Faults that struck, by name."""
    violations: tuple[Violation, ...]
    sessions: Mapping[str, str] = field(repr=False)
    """Where each session is, by its id: the chat, and the thread after a slash."""
    timeline: Timeline = field(repr=False)
    missed: tuple[tuple[str, str], ...] = ()
    """Faults that were put at a point and did not strike there, and why not."""
    events: Mapping[str, str] = field(factory=dict, repr=False)
    """The event that each row of `messages_in` came from, by its id."""
    others: tuple[str, ...] = ()
    """Of a shortened day: other invariants that were broken when it was shorter still."""


def play(household: Household, invariants: Sequence[Check] = ()) -> Outcome:
    """Play it from the beginning to the end; calls `trio.run`. `invariants` are checked besides ours."""
    return trio.run(_play, household, invariants, clock=MockClock(autojump_threshold=0))


async def _play(household: Household, invariants: Sequence[Check]) -> Outcome:
    network, tally = Network(repeat=household.repeat), Tally()
    settings = {"timezone": household.zone, "runtime.slow_poll_s": POLL_S, **household.settings}
    world = World(seed=household.seed, channel=network, settings=settings, outliving=household.outliving)
    try:
        async with world:
            world.clock.epoch, world.timeline.home = household.began, str(world.home)
            network.clock = world.clock
            network.backoff_s = min(world.config().delivery.backoff_s)
            mischief = Mischief(world, network, tally.strokes, tally.missed)
            await Day(household, world, network, mischief, tuple(invariants), tally).live()
    except Exception as error:  # noqa: BLE001 -- whatever breaks is a violation
        if not tally.violations:
            tally.violations.append(Violation("nothing_breaks", repr(error), trio.current_time()))
    return Outcome(
        household.seed,
        len(household.steps),
        trio.current_time(),
        len({one.event.message.text for one in network.accepted}),
        len(network.sent),
        world.executor.commits,
        tally.restarts,
        tally.strokes,
        tuple(tally.violations),
        _places(network),
        world.timeline,
        tuple(tally.missed),
        {one.event.message_id: one.event.event_id for one in network.accepted},
    )


def _places(network: Network) -> Mapping[str, str]:
    places = dict[str, str]()
    for one in network.accepted:
        address = one.event.address
        place = f"{address.platform_id}/{address.thread_id}" if address.thread_id else address.platform_id
        places.update(dict.fromkeys(one.routed.session_ids, place))
    return places


@define(eq=False)
class Tally:
    """What is counted on the way."""

    restarts: int = 0
    strokes: Counter[str] = Factory(Counter)
    missed: list[tuple[str, str]] = Factory(list)
    violations: list[Violation] = Factory(list)


class Violated(Exception):
    """Ends a run; which invariants did not hold is in its tally."""


@define(eq=False)
class Day:
    """One household's day in its world."""

    household: Household
    world: World
    network: Network
    mischief: Mischief
    invariants: tuple[Check, ...]
    tally: Tally
    _chats: dict[str, Chat] = Factory(dict)
    _users: dict[str, User] = Factory(dict)
    _over: bool = False
    _judged: Exception | None = None
    """What the host failed of last: whoever starts it and whoever keeps it hear of it."""
    _lines: int = 0
    _changed: set[str] = Factory(set)
    """The sessions that have."""
    _quiet: Quiet = field(init=False)

    async def live(self) -> None:
        """From the first start of the host to the last look."""
        await self._move_in()
        self.world.timeline.steps.append(self._count_lines)
        self.world.commit_hooks.append(self._note_change)
        quiet = self._quiet = Quiet(self.world, self.mischief, self._look_at_quiet)
        self.world.timeline.steps.append(quiet.note)
        async with trio.open_nursery() as house:
            house.start_soon(self._keep_host)
            house.start_soon(self._look_often)
            house.start_soon(quiet.watch)
            house.start_soon(self._clickers().press)
            await self._speak_and_suffer()
            await self.mischief.make_up()
            await self._come_to_rest()
            self._over = True
            house.cancel_scope.cancel()
        await self._leave()

    async def _move_in(self) -> None:
        await self.world.start()
        brain = Errands(lambda: self.world.clock)
        self._users.update((name, self.world.user(name)) for name in VISITORS)
        for room in self.household.rooms:
            await self._furnish(room, brain)

    @cached_property
    def _doors(self) -> Mapping[str, frozenset[str]]:
        """Who is let in where not everybody is: who is known to an agent in one chat is so in all of its."""
        closed = [room for room in self.household.rooms if room.policy != "public"]
        known = defaultdict[str, set[str]](set)
        for room in closed:
            known[room.agent] |= {self._users[name].id for name in room.users}
        return {room.name: frozenset(known[room.agent]) for room in closed}

    def _clickers(self) -> Clickers:
        users = {room.name: [self._users[name].id for name in room.users] for room in self.household.rooms}
        strangers = [self._users[name].id for name in VISITORS]
        return Clickers(self.household.seed, self.network, users, strangers, self.world.timeline)

    async def _furnish(self, room: Room, brain: Errands) -> None:
        world = self.world
        users = [self._users.setdefault(name, world.user(name)) for name in room.users]
        chat = world.group(room.name, users) if room.is_group else world.chat(users[0])
        agent = world.agents.get(room.agent) or world.agent(room.agent, brain)
        mode, rules = room.session_mode, room.trigger_rules
        await world.wire(chat, agent, policy=room.policy, session_mode=mode, trigger_rules=rules)
        for n, user in enumerate(users if room.policy != "public" else ()):
            await (world.admit(user, agent) if n else world.grant(user, "admin", agent))
        workspace = world.home / "groups" / room.agent / "workspace"
        workspace.mkdir(parents=True, exist_ok=True)
        (workspace / FILE).write_text(NOTES)
        self._chats[room.name] = chat

    def _count_lines(self, _event: str, _details: tuple[object, ...]) -> None:
        self._lines += 1
        if self._lines > MOST_LINES:
            raise RuntimeError(f"the timeline has more than {MOST_LINES} lines: something turns in circles")

    # -- who keeps the host running

    async def _keep_host(self) -> None:
        random = Random(f"keeper {self.household.seed}")  # noqa: S311 -- a simulation has no secrets
        while True:
            failure = await self.world.ended()
            if self._over:
                return
            self._judge(failure)
            await trio.sleep(random.uniform(0.5, RESTARTED_WITHIN_S))
            async with self.mischief.damage.hands:
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
        """A host may fail where its disk does, and is started again."""
        if failure is None or failure is self._judged:
            return
        self._judged = failure
        self.world.timeline.add("host failed", repr(failure))
        if not (isinstance(failure, HostFailed) and self.mischief.excuses()):
            self._violated([("hosts_fail_of_their_disk_only", repr(failure))])

    # -- what happens

    async def _speak_and_suffer(self) -> None:
        streams = defaultdict[tuple[str, str, str | None], list[Say]](list)
        for step in self.household.steps:
            if isinstance(step, Say):
                streams[step.user, step.chat, step.thread].append(step)
        began = trio.current_time()
        limit = self.household.ends_at + HEARD_WITHIN_S
        with trio.move_on_after(limit) as scope:
            async with trio.open_nursery() as nursery:
                for stream in streams.values():
                    nursery.start_soon(self._speak, began, stream)
                await self._suffer(began)
        if scope.cancelled_caught:
            self._violated([("everybody_is_heard", f"somebody was not, within {HEARD_WITHIN_S:g} s")])

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

    async def _edit(self, say: Say, said: str) -> None:
        """The network offers another version of what was said."""
        event = next(one.event for one in self.network.accepted if one.event.message.text == said)
        message = evolve(event.message, text=say.text, attachments=())
        self.world.timeline.add("edited", say.chat, say.user, event.event_id, repr(say.text))
        await self.network.offer(evolve(event, version="2", message=message))

    async def _suffer(self, began: float) -> None:
        async with self.mischief.open():
            for step in self.household.steps:
                if not isinstance(step, Say):
                    await trio.sleep_until(began + step.at)
                    await self.mischief.strike(step)
                    self.look()
            await trio.sleep_until(began + self.household.ends_at)
            await self._ask_for_damage()
        await self.mischief.heal()

    async def _ask_for_damage(self) -> None:
        """What is damaged has to show in the status; who was asked in the middle of a try is asked again."""
        silent = await self._unreported()
        if silent:
            await trio.sleep(REST_S)
            silent &= await self._unreported()
        self._violated([("damage_is_reported", sentence) for sentence in sorted(silent)])

    async def _unreported(self) -> set[str]:
        with suppress(WorldError):
            return set(await self.mischief.damage.unreported())
        return set()

    # -- looking

    async def _look_often(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Check what has to hold at any time, in the sessions that have changed since the last look."""
        with opened_once():
            violated = found(self.scene(changed=True), (*ALL_STEP_CHECKS, *self.invariants))
        self._violated(violated)
        self._changed.clear()

    def _look_at_quiet(self, sessions: frozenset[str], stuck: frozenset[str]) -> None:
        """Check what has to hold of sessions that had time enough, and of those that are stuck."""
        runners, since = self.world.runtime.runners, trio.current_time() - PROMPT_S
        living = [id_ for id_, runner in runners.items() if not runner.scope.cancel_called]
        bodies = [(id_, body) for id_ in living if (body := self.mischief.bodies.of(id_)) is not None]
        data, spoilt = self.world.home / "data", self.mischief.damage.spoilt()
        with opened_once():
            scene = Scene(
                data=data,
                asked=self._asked(),
                paths=tuple(readable(data, spoilt, sessions)),
                spoilt=spoilt,
                awake=self._awake(),
                resting=frozenset(id_ for id_, body in bodies if _before(body.rests_since, since)),
                listening=frozenset(id_ for id_, body in bodies if _before(body.listens_since, since)),
                attended=self._quiet.attended(),
                stuck=sorted(stuck),
                idle=self._quiet.idle(),
                wronged=tuple(self._quiet.wronged),
                left_alone=self._quiet.left_alone(),
                unattended=self._quiet.unattended(),
                shaken=self._quiet.shaken,
                now=to_text(self.world.now),
            )
            violated = found(scene, (*QUIET_CHECKS, replies_keep_their_order))
            self._quiet.look_again(scene)
        self._violated(violated)

    def _awake(self) -> frozenset[str]:
        runners = self.world.runtime.runners
        return frozenset(id_ for id_, runner in runners.items() if not runner.abandoned)

    def scene(self, *, changed: bool = False) -> Scene:
        """What there is to see now."""
        network, data, config = self.network, self.world.home / "data", self.world.config()
        spoilt, only = self.mischief.damage.spoilt(), self._changed if changed else None
        asked = self._asked()
        return Scene(
            data=data,
            accepted=tuple(id_ for one in network.accepted for id_ in one.routed.message_ids),
            asked=asked,
            confirmed=network.accepted,
            clicked=network.clicked,
            times_asked=Counter(one.key for one in asked),
            arrived=network.sent,
            receipts=network.receipts(),
            heard=self.mischief.bodies.tries.heard,
            turns=self.mischief.bodies.tries.turns,
            homes=self.mischief.bodies.tries.homes,
            hasty=network.hasty,
            pauses=self.mischief.bodies.tries.pauses,
            retry_base_s=config.retry.base_s,
            max_tries=config.retry.max_tries,
            max_attempts=len(config.delivery.backoff_s) + 1,
            settled=network.settled,
            spent=self.mischief.spending.spent,
            unreckoned=self.mischief.spending.unknown,
            repeat=network.repeat,
            paths=tuple(readable(data, spoilt, only)),
            spoilt=spoilt,
            awake=self._awake(),
            attended=self._quiet.attended(),
            now=to_text(self.world.now),
            zone=self.household.zone,
            doors=self._doors,
            patterns={room.name: room.pattern for room in self.household.rooms if room.pattern},
            mention_only={room.name for room in self.household.rooms if room.mention_only},
        )

    def _asked(self) -> tuple[Asked, ...]:
        return tuple(Asked(one.message_out_id, one.address) for one in self.network.attempts)

    def _note_change(self, path: Path, when: When, n: int) -> None:
        del when, n
        self._changed.add(path.parents[1].name)

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
                restless = found(self.scene(), ALL_REST_CHECKS)
            if not restless:
                break
        else:
            self._violated(restless)
        self.look()
        self.world.timeline.add("at rest")

    async def _leave(self) -> None:
        """Stop the host in order; what is on disk then is looked at, too."""
        await self.world.stop()
        self.look()


def _before(at: float | None, since: float) -> bool:
    return at is not None and at <= since
