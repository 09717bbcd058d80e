"""Does faults to a world: what `nanoclaw.simulation.faults` names and times.

Each strike is a line of the timeline. What lasts ends by itself, or with `heal`; the details of a strike are
drawn from its own number, so a strike more or less leaves the others as they are.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Literal

import apsw
import trio
from attrs import Factory, define, field

from actors import ActorError
from agent_runner.errors import RunnerError
from nanoclaw.host import HostFailed
from nanoclaw.simulation.corruption import Damage
from nanoclaw.simulation.faults import Strike
from nanoclaw.simulation.network import FaultyNetwork
from nanoclaw.simulation.retry_accounting import RetryAccounting
from nanoclaw.simulation.runner_faults import RunnerControl, RunnerControls
from nanoclaw.simulation.write_limit import no_file_beyond
from nanoclaw.store import StoreError
from nanoclaw.store.ownership import CENTRAL
from nanoclaw.testing.world.channel import Fault
from nanoclaw.testing.world.errors import HostKilled, WorldError
from nanoclaw.testing.world.executor import When
from nanoclaw.testing.world.hot_journal import leave_hot_journal
from nanoclaw.testing.world.world import World

Side = Literal["host", "runner"]
OUTBOUND = "outbound.db"
HALF = 0.5
NEXT_COMMITS = 25
"""At one of the next so many commits a trap springs."""
NEXT_STEPS = 300
"""Or after one of the next so many steps of trio's tasks."""
LONGEST_JUMP_S = 3 * 3600.0
LONGEST_JUMP_BACK_S = 3600.0
IN_DOUBT_S = 0.9
"""So soon after its host has given up waiting for a receipt, a doubtful attempt is made again."""
CRADLE_STEPS = 60
"""Steps of any tasks, in which a runner that was started opens its files and claims its first message."""
EXCUSED_S = 30.0
"""After its disk has failed a host may fail of that for so long: it may be slow, too."""
ENGINE_GONE = "the engine is gone: start it again"
DISK: Mapping[str, Callable[[], apsw.Error]] = {
    "disk-full": lambda: apsw.FullError("FullError: database or disk is full"),
    "io-error": lambda: apsw.IOError("IOError: disk I/O error"),
}


UNREACHABLE = (WorldError, HostKilled, ActorError, StoreError)
"""What somebody meets who wants something of a host that does not run, or cannot write."""


class RunnerKilled(RunnerError):
    """What a runner meets at the commit at which it is killed."""


@define(eq=False)
class Trap:
    """Springs once, at a commit."""

    side: Side
    when: When
    left: int
    """Commits of that side until it springs."""
    spring: Callable[[Path], None]
    at: int | None = None
    """At the commit with this number instead, whoever's it is."""
    strike: Strike | None = None
    """Which strike that was put there waits in it."""

    def meets(self, side: Side, when: When, n: int) -> bool:
        """Whether it springs now."""
        if when != self.when or (self.at is None and side != self.side):
            return False
        self.left -= 1
        return n == self.at if self.at is not None else self.left <= 0


class _AfterSteps(trio.abc.Instrument):
    """Springs after some steps of any tasks: between any two checkpoints."""

    def __init__(self, steps: int, spring: Callable[[], None]) -> None:
        self._steps, self._spring = steps, spring
        self.made = 0

    @property
    def sprung(self) -> bool:
        """Whether it has."""
        return self.made == self._steps

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """One step more."""
        del task
        self.made += 1
        if self.sprung:
            trio.lowlevel.remove_instrument(self)
            self._spring()


@define(eq=False)
class FaultInjector:
    """Faults of one world."""

    world: World
    network: FaultyNetwork
    strikes: Counter[str]
    """Counts those that struck, by name."""
    missed: list[tuple[str, str]] = Factory(list)
    """Those that were put at a point and did not strike there, and why not."""
    damage: Damage = field(init=False)
    controls: RunnerControls = field(init=False)
    retry_accounting: RetryAccounting = field(init=False)
    _traps: list[Trap] = Factory(list)
    _disk: list[tuple[Side, Callable[[], apsw.Error]]] = Factory(list)
    _disk_until: float = 0.0
    _tearing_now: int = 0
    paused: set[str] = Factory(set)
    """Sessions that somebody has paused."""
    _buried: dict[str, Callable[[], apsw.Error]] = Factory(dict)
    """Sessions whose host cannot write their file, and what it meets."""
    _newborns: list[int] = Factory(list)
    """Of the runners that are to die young: after how many steps of any tasks."""
    _awaited: list[tuple[Strike, _AfterSteps]] = Factory(list)
    """What was put at a step."""
    nursery: trio.Nursery = field(init=False)
    """Where faults last."""

    def __attrs_post_init__(self) -> None:
        self.damage = Damage(self.world)
        self.controls = RunnerControls(self.world.clock, self._dies)
        self.retry_accounting = RetryAccounting(self.world, self.controls.turn_log.spent)
        self.world.runtime.wrap = self.controls.wrap
        self.world.commit_hooks.append(self._at_commit)
        self.world.timeline.steps += [self._at_birth, self.retry_accounting.note]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While it is open faults may strike; what lasts ends with it."""
        async with trio.open_nursery() as self.nursery:
            yield
            self.nursery.cancel_scope.cancel()

    async def inject(self, strike: Strike) -> None:
        """Do one; it may take a moment, and what lasts goes on."""
        random = Random(strike.draw)  # noqa: S311 -- a simulation has no secrets
        before = self.strikes[strike.fault]
        await _STROKES[strike.fault](self, random, strike)
        if strike.now and self.strikes[strike.fault] == before:
            self._miss(strike, "there was nothing for it to strike")

    async def heal(self) -> None:
        """Mend everything. Where files are damaged the host is stopped for that; who keeps it starts it."""
        for trap in self._traps:
            if trap.strike is not None:
                self._miss(trap.strike, f"it is over after commit {self.world.executor.commits}")
        for strike, steps in self._awaited:
            if not steps.sprung:
                trio.lowlevel.remove_instrument(steps)
                self._miss(strike, f"it is over after step {steps.made}")
        self._awaited.clear()
        self._traps.clear()
        self._newborns.clear()
        self._buried.clear()
        self._disk.clear()
        self.network.heal()
        self.controls.thaw()
        self.world.runtime.gone = None
        self.world.executor.pause = self.world.executor.around = None
        self.note("healed")
        if self.damage.files:
            await self.damage.mend()

    def _dies(self, session: str) -> bool:
        runner = self.world.runtime.runners.get(session)
        if runner is None or runner.scope.cancel_called:
            return True
        return not self.retry_accounting.host_lives and not runner.abandoned

    def excuses(self) -> bool:
        """Whether a host that fails now may blame its disk."""
        return bool(self._disk) or self._tearing_now > 0 or trio.current_time() < self._disk_until

    def hindered(self) -> frozenset[str]:
        """Sessions that something keeps from their work now."""
        machine = self._disk or self._tearing_now or self.world.executor.pause is not None
        ids = frozenset(path.name for path in (self.world.home / "data").glob("sessions/*/*"))
        slow = frozenset(
            id_ for id_ in ids if (control := self.controls.of(id_)) is not None and control.hindered
        )
        return ids if machine else slow | self.damage.spoilt() | self._buried.keys()

    def note(self, *details: object) -> None:
        """A line of the timeline."""
        self.world.timeline.add("fault", *details)

    def _struck(self, strike: Strike, *details: object) -> None:
        """Note that it has; one that has nothing to strike, or waits for a commit in vain, never does."""
        self.strikes[strike.fault] += 1
        self.note(strike.fault, *details)

    def _miss(self, strike: Strike, why: str) -> None:
        if str(strike) not in dict(self.missed):
            self.missed.append((str(strike), why))
            self.note(strike, "has not struck", why)

    # -- at commits

    def _at_commit(self, path: Path, when: When, n: int) -> None:
        side: Side = "runner" if path.name == OUTBOUND else "host"
        for trap in [trap for trap in self._traps if trap.meets(side, when, n)]:
            self._traps.remove(trap)
            trap.spring(path)
        if when == "before":
            for befallen, error in self._disk:
                if befallen == side:
                    raise error()
            if side == "host" and path.parents[1].name in self._buried:
                error = self._buried[path.parents[1].name]
                raise error()

    def _trap(self, random: Random, strike: Strike, side: Side, spring: Callable[[Path], None]) -> None:
        when: When = random.choice(("before", "after"))
        self._set(Trap(side, when, random.randrange(1, NEXT_COMMITS), spring, strike.commit), strike)
        self.note(strike, "waits for a commit", when)

    def _set(self, trap: Trap, strike: Strike) -> None:
        moved_in = self.world.executor.commits
        if strike.commit is not None and strike.commit <= moved_in:
            self._miss(strike, f"the workload had not moved in before commit {moved_in}")
        else:
            trap.strike = None if strike.commit is None else strike
            self._traps.append(trap)

    def _at_step(self, strike: Strike, step: int, spring: Callable[[], None]) -> None:
        steps = _AfterSteps(step, spring)
        self._awaited.append((strike, steps))
        trio.lowlevel.add_instrument(steps)
        self.note(strike, "waits for its step")

    def _after_steps(self, random: Random, strike: Strike, spring: Callable[[], None]) -> None:
        def once(_path: Path) -> None:
            steps = random.randrange(1, NEXT_STEPS)
            trio.lowlevel.add_instrument(_AfterSteps(steps, spring))

        self._trap(random, strike, random.choice(("host", "runner")), once)

    # -- host and runners

    async def kill_host(self, random: Random, strike: Strike) -> None:
        """At a commit, in the middle of whatever it does, or at rest."""

        def spring(path: Path | None = None) -> None:
            details = ("",) if path is None else (f"at a commit of {path.name}",)
            if self.world.host_lives:
                self._struck(strike, *details)
                self.world.kill_host_now()
            elif strike.point is not None:
                self._miss(strike, "no host lived there")

        if strike.step is not None:
            self._at_step(strike, strike.step, spring)
        else:
            self._kill_host(random, strike, spring)
        await trio.lowlevel.checkpoint()

    def _kill_host(self, random: Random, strike: Strike, spring: Callable[[Path | None], None]) -> None:
        match _way(random, strike):
            case 0 | 1:
                self._trap(random, strike, "host", spring)
            case 2:
                self._trap(random, strike, "runner", spring)
            case 3:
                self._after_steps(random, strike, lambda: spring(None))
            case _:
                spring(None)

    async def kill_in_doubt(self, random: Random, strike: Strike) -> None:
        """The network does not say that it has a message; its host gives up waiting, and dies soon after."""
        self.network.silent += 1
        self._struck(strike)
        self.nursery.start_soon(self._die_in_doubt, strike, random.uniform(0.0, IN_DOUBT_S))
        await trio.lowlevel.checkpoint()

    async def _die_in_doubt(self, strike: Strike, seconds: float) -> None:
        await self.network.given_up.wait()
        await trio.sleep(seconds)
        if self.world.host_lives:
            self.note(strike, "the host dies")
            self.world.kill_host_now()

    async def kill_newborn(self, random: Random, strike: Strike) -> None:
        """The host dies when a runner has written; the first runners of the next one die in the cradle."""

        def spring(_path: Path) -> None:
            if self.world.host_lives:
                self.note(strike, "the host dies")
                self._newborns = [random.randrange(1, CRADLE_STEPS) for _ in range(random.randrange(1, 4))]
                self.world.kill_host_now()

        self._traps.append(Trap("runner", "after", random.randrange(1, 6), spring))
        self._struck(strike)
        await trio.lowlevel.checkpoint()

    def _at_birth(self, event: str, details: tuple[object, ...]) -> None:
        if event == "runner started" and self._newborns and self.world.host_lives:
            runner = self.world.runtime.runners[str(details[0])]
            trio.lowlevel.add_instrument(_AfterSteps(self._newborns.pop(), runner.kill))

    async def stop_host(self, _random: Random, strike: Strike) -> None:
        """In order; whoever keeps it starts it again."""
        self._struck(strike)
        with suppress(HostFailed):  # whoever keeps it hears of that as well
            await self.world.stop()

    async def kill_runner(self, random: Random, strike: Strike) -> None:
        """At a commit of its own, in the middle of whatever it does, or at rest; sometimes within a write."""

        def at_commit(path: Path) -> None:
            if path.name != OUTBOUND:  # a commit of the host, by its number
                now()
                return
            self._struck(strike, path.parents[1].name)
            raise RunnerKilled("killed")

        def now() -> None:
            living = len(self.world.runtime.runners)
            if living:
                self._struck(strike, "one of", living)
                self.world.kill_runner()
            elif strike.point is not None:
                self._miss(strike, "no runner lived there")

        if strike.step is not None:
            self._at_step(strike, strike.step, now)
        else:
            self._kill_runner(random, strike, at_commit, now)
        await trio.lowlevel.checkpoint()

    def _kill_runner(
        self, random: Random, strike: Strike, at_commit: Callable[[Path], None], now: Callable[[], None]
    ) -> None:
        match _way(random, strike):
            case 0 | 1:
                self._trap(random, strike, "runner", at_commit)
            case 2:
                self._after_steps(random, strike, now)
            case 3:
                self.nursery.start_soon(self._die_writing, random, strike)
            case _:
                now()

    async def _die_writing(self, random: Random, strike: Strike) -> None:
        runners = self.world.runtime.runners
        if runners:
            victim = runners[random.choice(sorted(runners))]
            self._struck(strike, victim.spec.session_id, "in the middle of a write")
            outbound, aside = victim.spec.paths.outbound_db, self.world.home / "dying.db"
            victim.at_its_end = lambda: leave_hot_journal(outbound, aside)
            victim.kill()
        await trio.lowlevel.checkpoint()

    async def stuck_runner(self, random: Random, strike: Strike) -> None:
        """It stops where it is, at work if one is, as by SIGSTOP; it goes on later, if it is still there."""
        controls = {id_: self.controls.of(id_) for id_ in sorted(self.world.runtime.runners)}
        found = [(id_, control) for id_, control in controls.items() if control is not None]
        if found:
            victim, control = random.choice([one for one in found if one[1].rests_since is None] or found)
            seconds = random.uniform(5.0, 600.0)
            if control.rests_since is None or random.random() < HALF or strike.now:
                self._last(strike, self.controls.frozen(victim), seconds, victim)
            else:
                self.note(strike, victim, "waits for its next turn")
                self.nursery.start_soon(self._stick, strike, victim, control, seconds)
        await trio.lowlevel.checkpoint()

    async def _stick(self, strike: Strike, victim: str, control: RunnerControl, seconds: float) -> None:
        await control.at_work.wait()
        self._last(strike, self.controls.frozen(victim), seconds, victim)

    async def slow_runner(self, random: Random, strike: Strike) -> None:
        """Whatever it does with its files takes its time."""
        runners = sorted(self.world.runtime.runners)
        if runners:
            victim = random.choice(runners)
            self._last(strike, self.controls.slow(victim, random), random.uniform(10.0, 600.0), victim)
        await trio.lowlevel.checkpoint()

    async def slow_host(self, random: Random, strike: Strike) -> None:
        """The disk is slow, for everybody."""
        longest = random.choice((0.01, 0.1, 1.0))
        self._last(
            strike, self._slow_disk(random, longest), random.uniform(10.0, 300.0), f"up to {longest} s"
        )
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _slow_disk(self, random: Random, longest: float) -> Iterator[None]:
        self.world.executor.pause = lambda: random.uniform(0.0, longest)
        try:
            yield
        finally:
            self.world.executor.pause = None

    # -- the network

    async def channel_fails(self, random: Random, strike: Strike) -> None:
        """It is down, rejects a message, or breaks before or after it has one."""
        faults: tuple[Fault, ...] = ("unavailable", "unavailable", "rejected", "crash before", "crash after")
        fault = random.choice(faults)
        times = random.randrange(1, 8) if fault == "unavailable" else random.randrange(1, 3)
        self._struck(strike, fault, times)
        self.network.fail(fault, times=times)
        await trio.lowlevel.checkpoint()

    async def channel_times_out(self, random: Random, strike: Strike) -> None:
        """It takes messages and does not say so."""
        self.network.silent += random.randrange(1, 3)
        self._struck(strike)
        await trio.lowlevel.checkpoint()

    async def channel_late(self, random: Random, strike: Strike) -> None:
        """Messages arrive after the host has given up waiting for the receipt."""
        self.network.late += random.randrange(1, 3)
        self._last(strike, self._late(), random.uniform(70.0, 300.0))
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _late(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.network.late = 0
            self.network.arrive()

    async def channel_duplicates(self, random: Random, strike: Strike) -> None:
        """It offers events twice at once, and an old one again."""
        self.network.twice += random.randrange(1, 4)
        self._struck(strike)
        if self.network.accepted:
            old = random.choice(self.network.accepted).event
            self.nursery.start_soon(self.network.offer, old)
        await trio.lowlevel.checkpoint()

    async def channel_reorders(self, random: Random, strike: Strike) -> None:
        """What is said in one chat comes before what was said earlier in another."""
        self._last(strike, self.network.reordering(random), random.uniform(30.0, 900.0))
        await trio.lowlevel.checkpoint()

    async def channel_limits(self, random: Random, strike: Strike) -> None:
        """It wants fewer messages."""
        self.network.retry_after += [random.uniform(0.0, 200.0) for _ in range(random.randrange(1, 5))]
        self._struck(strike, len(self.network.retry_after))
        await trio.lowlevel.checkpoint()

    async def channel_hangs(self, random: Random, strike: Strike) -> None:
        """It does not answer, and later it does."""
        self.network.hints_hang = random.random() < HALF
        self.network.fail("hang", times=random.randrange(1, 4))
        self._last(strike, self._hanging(), random.uniform(10.0, 600.0))
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _hanging(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.network.heal()

    async def channel_disconnects(self, random: Random, strike: Strike) -> None:
        """Its sending half breaks, or its receiving half; it may be out of reach for a while."""
        which = random.choice(("sender", "receiver", "both"))
        self.network.unreachable = random.choice((0, 0, 1, 3, 12)) if which != "receiver" else 0
        self._struck(strike, which, self.network.unreachable)
        if which != "receiver":
            self.network.disconnect()
        if which != "sender":
            self.network.crash_receiver()
        await trio.lowlevel.checkpoint()

    # -- the machine

    async def disk(self, random: Random, strike: Strike) -> None:
        """Commits of the host or of all runners fail: one, or all for a while."""
        side: Side = random.choice(("host", "runner"))
        error = DISK[strike.fault]

        def once(path: Path) -> None:
            self._struck(strike, *([] if path.name == CENTRAL else [path.parents[1].name]), path.name)
            self._disk_until = trio.current_time() + EXCUSED_S
            raise error()

        if strike.commit is not None or (not strike.now and random.random() < HALF):
            self._set(Trap(side, "before", random.randrange(1, NEXT_COMMITS), once, strike.commit), strike)
        else:
            self._last(strike, self._failing(side, error), random.uniform(1.0, 120.0), side)
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _failing(self, side: Side, error: Callable[[], apsw.Error]) -> Iterator[None]:
        entry = (side, error)
        self._disk.append(entry)
        try:
            yield
        finally:
            if entry in self._disk:
                self._disk.remove(entry)
            self._disk_until = trio.current_time() + EXCUSED_S

    async def torn_writes(self, random: Random, strike: Strike) -> None:
        """Some calls, of the host and of runners, can write no further than to some place in a file."""
        seconds, share = random.uniform(1.0, 60.0), random.choice((0.1, 0.5, 1.0))
        self._last(strike, self._tearing(random, share), seconds, f"{share:.0%} of the calls")
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _tearing(self, random: Random, share: float) -> Iterator[None]:
        def around() -> AbstractContextManager[None]:
            place = random.choice((0, random.randrange(70_000)))
            return no_file_beyond(place) if random.random() < share else nullcontext()

        self.world.executor.around = around
        self._tearing_now += 1
        try:
            yield
        finally:
            self._tearing_now -= 1
            self.world.executor.around = None
            self._disk_until = trio.current_time() + EXCUSED_S

    async def clock_jumps(self, random: Random, strike: Strike) -> None:
        """Somebody sets it, or the machine was asleep."""
        by = random.uniform(-LONGEST_JUMP_BACK_S, LONGEST_JUMP_S)
        self._struck(strike, f"{by:+.0f} s")
        self.world.clock.jump(timedelta(seconds=by))
        await trio.lowlevel.checkpoint()

    async def corrupt_inbound(self, random: Random, strike: Strike) -> None:
        """What the host has written of a session cannot be read any more, until somebody mends it."""
        await self._corrupt(random, strike, "inbound")

    async def corrupt_outbound(self, random: Random, strike: Strike) -> None:
        """The same, of what its runner has written."""
        await self._corrupt(random, strike, "outbound")

    async def _corrupt(self, random: Random, strike: Strike, side: Literal["inbound", "outbound"]) -> None:
        path = self.damage.candidate(random, side)
        if path is not None:
            self._struck(strike, path.parents[1].name)
            await self.damage.do(random, path)

    # -- what people do

    async def session_paused(self, random: Random, strike: Strike) -> None:
        """Somebody pauses a session, and makes it active again later."""
        with suppress(*UNREACHABLE):
            sessions = await self.world.host.admin.sessions.list("active")
            if sessions:
                session = random.choice(sorted(one.id for one in sessions))
                self._struck(strike, session)
                self.paused.add(session)
                await self.world.host.admin.sessions.pause(session)
                self.nursery.start_soon(self._resume, session, random.uniform(10.0, 3600.0))

    async def session_buried(self, random: Random, strike: Strike) -> None:
        """Of one session alone nothing can be written by the host: it gives the session up for a while."""
        found = sorted(path.name for path in (self.world.home / "data").glob("sessions/*/*"))
        if found:
            session = random.choice(found)
            error = DISK[random.choice(sorted(DISK))]
            self._last(strike, self._unwritable(session, error), random.uniform(60.0, 1800.0), session)
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _unwritable(self, session: str, error: Callable[[], apsw.Error]) -> Iterator[None]:
        self._buried[session] = error
        try:
            yield
        finally:
            self._buried.pop(session, None)

    async def _resume(self, session: str, seconds: float) -> None:
        await trio.sleep(seconds)
        with suppress(*UNREACHABLE):
            await self.world.host.admin.sessions.resume(session)
            self.paused.discard(session)
            self.note("session-paused", session, "is over")

    async def make_up(self) -> None:
        """Make all sessions active again, once the host can be reached."""
        while self.paused:
            with suppress(*UNREACHABLE):
                for session in sorted(self.paused):
                    await self.world.host.admin.sessions.resume(session)
                self.paused.clear()
            await trio.sleep(1.0)

    async def destination_renamed(self, random: Random, strike: Strike) -> None:
        """Somebody gives a destination of an agent another name."""
        with suppress(*UNREACHABLE):
            admin = self.world.host.admin
            group = random.choice(await admin.agent_groups.list())
            name = random.choice(
                sorted(one.local_name for one in await admin.destinations.of_agent(group.id))
            )
            new = f"renamed-{random.randrange(1000)}"
            self._struck(strike, group.folder, name, new)
            await admin.destinations.rename(group.id, name, new)
            self.note(strike.fault, "is over")

    # -- the engine

    async def engine_gone(self, random: Random, strike: Strike) -> None:
        """No runner can be started."""
        self._last(strike, self._without_engine(), random.uniform(5.0, 1800.0))
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _without_engine(self) -> Iterator[None]:
        self.world.runtime.gone = ENGINE_GONE
        try:
            yield
        finally:
            self.world.runtime.gone = None

    # -- what lasts

    def _last(
        self, strike: Strike, fault: AbstractContextManager[None], seconds: float, *details: object
    ) -> None:
        self._struck(strike, *details, f"for {seconds:.0f} s")
        self.nursery.start_soon(self._lasting, strike, fault, seconds)

    async def _lasting(self, strike: Strike, fault: AbstractContextManager[None], seconds: float) -> None:
        with fault:
            await trio.sleep(seconds)
        self.note(strike.fault, "is over")


def _way(random: Random, strike: Strike) -> int:
    """How somebody is killed: 0 at a commit, 4 now."""
    if strike.point is None:
        return random.randrange(5)
    return 4 if strike.now else 0


_STROKES: Mapping[str, Callable[[FaultInjector, Random, Strike], Awaitable[None]]] = {
    "kill-host": FaultInjector.kill_host,
    "stop-host": FaultInjector.stop_host,
    "kill-in-doubt": FaultInjector.kill_in_doubt,
    "kill-newborn": FaultInjector.kill_newborn,
    "kill-runner": FaultInjector.kill_runner,
    "stuck-runner": FaultInjector.stuck_runner,
    "slow-runner": FaultInjector.slow_runner,
    "slow-disk": FaultInjector.slow_host,
    "channel-fails": FaultInjector.channel_fails,
    "channel-times-out": FaultInjector.channel_times_out,
    "channel-duplicates": FaultInjector.channel_duplicates,
    "channel-reorders": FaultInjector.channel_reorders,
    "channel-limits": FaultInjector.channel_limits,
    "channel-hangs": FaultInjector.channel_hangs,
    "channel-disconnects": FaultInjector.channel_disconnects,
    "disk-full": FaultInjector.disk,
    "io-error": FaultInjector.disk,
    "torn-writes": FaultInjector.torn_writes,
    "clock-jumps": FaultInjector.clock_jumps,
    "corrupt-inbound": FaultInjector.corrupt_inbound,
    "corrupt-outbound": FaultInjector.corrupt_outbound,
    "session-paused": FaultInjector.session_paused,
    "session-buried": FaultInjector.session_buried,
    "destination-renamed": FaultInjector.destination_renamed,
    "channel-late": FaultInjector.channel_late,
    "engine-gone": FaultInjector.engine_gone,
}
