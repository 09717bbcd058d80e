"""Injects the faults that `faults` names and times into a world.

Each strike is a line of the timeline. A lasting fault ends by itself or with `heal`. A strike's details are
drawn from its own number, so adding or removing one strike does not change the others.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Literal

import apsw
import trio
from attrs import Factory, define, field

from actors import ActorError
from agent_runner.errors import RunnerError
from nanoclaw.simulation.corruption import Damage
from nanoclaw.simulation.faults import Strike
from nanoclaw.simulation.network import FaultyNetwork
from nanoclaw.simulation.retry_accounting import RetryAccounting
from nanoclaw.simulation.runner_faults import RunnerControls
from nanoclaw.store import StoreError
from nanoclaw.testing.world.errors import HostKilled, WorldError
from nanoclaw.testing.world.executor import When
from nanoclaw.testing.world.world import World

Side = Literal["host", "runner"]
OUTBOUND = "outbound.db"
HALF = 0.5
NEXT_COMMITS = 25
"""A trigger fires within this many commits."""
NEXT_STEPS = 300
"""A trigger fires within this many steps of trio's tasks."""
LONGEST_JUMP_S = 3 * 3600.0
LONGEST_JUMP_BACK_S = 3600.0
LONGEST_AHEAD_S = 12 * 3600.0
"""Seconds by which a wrong date is ahead, until it is set back."""
IN_DOUBT_S = 0.9
"""Seconds after a host stops waiting for a receipt within which it is killed."""
EARLY_STEPS = 60
"""The steps of any tasks within which a new runner opens its files and claims its first message."""
EXCUSED_S = 30.0
"""Seconds after a disk failure within which a host may fail because of it."""
ENGINE_GONE = "the engine is gone: start it again"
DISK: Mapping[str, Callable[[], apsw.Error]] = {
    "disk-full": lambda: apsw.FullError("FullError: database or disk is full"),
    "io-error": lambda: apsw.IOError("IOError: disk I/O error"),
}


UNREACHABLE = (WorldError, HostKilled, ActorError, StoreError)
"""The errors of calls to a host that does not run, or cannot write."""


class RunnerKilled(RunnerError):
    """The error of a runner at the commit at which it is killed."""


@define(eq=False)
class CommitTrigger:
    """Fires once, at a commit."""

    side: Side
    when: When
    left: int
    """The number of commits of that side until it fires."""
    fire: Callable[[Path], None]
    at: int | None = None
    """The number of the commit of either side at which it fires instead."""
    strike: Strike | None = None
    """The strike that names this commit, if any."""

    def meets(self, side: Side, when: When, n: int) -> bool:
        """Return whether it fires now."""
        if when != self.when or (self.at is None and side != self.side):
            return False
        self.left -= 1
        return n == self.at if self.at is not None else self.left <= 0


class StepTrigger(trio.abc.Instrument):
    """Fires after a number of task steps, so between any two checkpoints."""

    def __init__(self, steps: int, fire: Callable[[], None]) -> None:
        self._steps, self._spring = steps, fire
        self.made = 0

    @property
    def fired(self) -> bool:
        """True once it has fired."""
        return self.made == self._steps

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        del task
        self.made += 1
        if self.fired:
            trio.lowlevel.remove_instrument(self)
            self._spring()


@define(eq=False)
class FaultInjector:
    """The faults of one world: waiting triggers, lasting faults, and missed strikes."""

    world: World
    network: FaultyNetwork
    strikes: Counter[str]
    """The number of strikes, by fault."""
    missed: list[tuple[str, str]] = Factory(list)
    """The strikes that missed their point, with the reason."""
    damage: Damage = field(init=False)
    controls: RunnerControls = field(init=False)
    retry_accounting: RetryAccounting = field(init=False)
    triggers: list[CommitTrigger] = Factory(list)
    disk: list[tuple[Side, Callable[[], apsw.Error]]] = Factory(list)
    disk_until: float = 0.0
    hindered_now: int = 0
    paused: set[str] = Factory(set)
    """Sessions that a fault has paused."""
    resumed_at: dict[str, float] = Factory(dict)
    """When paused sessions were resumed last."""
    buried: dict[str, Callable[[], apsw.Error]] = Factory(dict)
    """By session whose files the host cannot write, the error that it gets."""
    early_kills: list[int] = Factory(list)
    """For each runner to be killed soon after its start, the number of steps until then."""
    _awaited: list[tuple[Strike, StepTrigger]] = Factory(list)
    """The strikes that wait for a step."""
    nursery: trio.Nursery = field(init=False)
    """The nursery of faults that last."""

    def __attrs_post_init__(self) -> None:
        self.damage = Damage(self.world)
        self.controls = RunnerControls(self.world.clock, self._dies)
        self.retry_accounting = RetryAccounting(self.world, self.controls.turn_log.spent)
        self.world.runtime.wrap = self.controls.wrap
        self.world.commit_hooks.append(self._at_commit)
        self.world.timeline.steps += [self._at_start, self.retry_accounting.note]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Allow faults while the block runs. Faults that last end with it."""
        async with trio.open_nursery() as self.nursery:
            yield
            self.nursery.cancel_scope.cancel()

    async def heal(self) -> None:
        """End all faults. To repair damaged files the host is stopped; it is restarted later."""
        for trigger in self.triggers:
            if trigger.strike is not None:
                self.miss(trigger.strike, f"it is over after commit {self.world.executor.commits}")
        for strike, steps in self._awaited:
            if not steps.fired:
                trio.lowlevel.remove_instrument(steps)
                self.miss(strike, f"it is over after step {steps.made}")
        self._awaited.clear()
        self.triggers.clear()
        self.early_kills.clear()
        self.buried.clear()
        self.disk.clear()
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
        """Return whether a host that fails now may have failed because of its disk."""
        return bool(self.disk) or self.hindered_now > 0 or trio.current_time() < self.disk_until

    def hindered(self) -> frozenset[str]:
        """Return the sessions that a fault hinders now."""
        machine = self.disk or self.hindered_now or self.world.executor.pause is not None
        ids = frozenset(path.name for path in (self.world.home / "data").glob("sessions/*/*"))
        slow = frozenset(
            id_ for id_ in ids if (control := self.controls.of(id_)) is not None and control.hindered
        )
        return ids if machine else slow | self.damage.spoilt() | self.buried.keys()

    def note(self, *details: object) -> None:
        """Add a line to the timeline."""
        self.world.timeline.add("fault", *details)

    def struck(self, strike: Strike, *details: object) -> None:
        """Count a strike and add it to the timeline. A strike without a target is not counted."""
        self.strikes[strike.fault] += 1
        self.note(strike.fault, *details)

    def miss(self, strike: Strike, why: str) -> None:
        """Record that a strike missed its point, and why."""
        if str(strike) not in dict(self.missed):
            self.missed.append((str(strike), why))
            self.note(strike, "has not struck", why)

    # -- at commits

    def _at_commit(self, path: Path, when: When, n: int) -> None:
        side: Side = "runner" if path.name == OUTBOUND else "host"
        for trigger in [trigger for trigger in self.triggers if trigger.meets(side, when, n)]:
            self.triggers.remove(trigger)
            trigger.fire(path)
        if when == "before":
            for befallen, error in self.disk:
                if befallen == side:
                    raise error()
            if side == "host" and path.parents[1].name in self.buried:
                error = self.buried[path.parents[1].name]
                raise error()

    def at_next_commit(
        self, random: Random, strike: Strike, side: Side, fire: Callable[[Path], None]
    ) -> None:
        """Set a trigger at one of the next commits of a side, or at the commit that the strike names."""
        when: When = random.choice(("before", "after"))
        self.set_trigger(
            CommitTrigger(side, when, random.randrange(1, NEXT_COMMITS), fire, strike.commit), strike
        )
        self.note(strike, "waits for a commit", when)

    def set_trigger(self, trigger: CommitTrigger, strike: Strike) -> None:
        """Set a trigger, unless the strike names a commit that is over."""
        moved_in = self.world.executor.commits
        if strike.commit is not None and strike.commit <= moved_in:
            self.miss(strike, f"the workload had not moved in before commit {moved_in}")
        else:
            trigger.strike = None if strike.commit is None else strike
            self.triggers.append(trigger)

    def at_step(self, strike: Strike, step: int, fire: Callable[[], None]) -> None:
        """Fire after so many steps of any tasks."""
        steps = StepTrigger(step, fire)
        self._awaited.append((strike, steps))
        trio.lowlevel.add_instrument(steps)
        self.note(strike, "waits for its step")

    def after_steps(self, random: Random, strike: Strike, fire: Callable[[], None]) -> None:
        """Fire some steps after one of the next commits."""

        def once(_path: Path) -> None:
            steps = random.randrange(1, NEXT_STEPS)
            trio.lowlevel.add_instrument(StepTrigger(steps, fire))

        self.at_next_commit(random, strike, random.choice(("host", "runner")), once)

    # -- host and runners

    def _at_start(self, event: str, details: tuple[object, ...]) -> None:
        if event == "runner started" and self.early_kills and self.world.host_lives:
            runner = self.world.runtime.runners[str(details[0])]
            trio.lowlevel.add_instrument(StepTrigger(self.early_kills.pop(), runner.kill))

    # -- sessions

    async def make_up(self) -> None:
        """Resume all paused sessions once the host can be reached."""
        while self.paused:
            with suppress(*UNREACHABLE):
                for session in sorted(self.paused):
                    await self.resume(session)
            await trio.sleep(1.0)

    async def resume(self, session: str) -> None:
        """Resume a session that a fault has paused. Raises what an administrator's call raises."""
        await self.world.host.admin.sessions.resume(session)
        self.resumed_at[session] = trio.current_time()
        self.paused.discard(session)

    # -- lasting faults

    def last(
        self, strike: Strike, fault: AbstractContextManager[None], seconds: float, *details: object
    ) -> None:
        """Let a fault last for so many seconds, or until `heal`."""
        self.struck(strike, *details, f"for {seconds:.0f} s")
        self.nursery.start_soon(self._lasting, strike, fault, seconds)

    async def _lasting(self, strike: Strike, fault: AbstractContextManager[None], seconds: float) -> None:
        with fault:
            await trio.sleep(seconds)
        self.note(strike.fault, "is over")
