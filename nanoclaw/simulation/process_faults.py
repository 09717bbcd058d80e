"""Faults of processes: hosts and runners are killed, stopped, frozen or slow, or none can start."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import trio

from nanoclaw.host import HostFailed
from nanoclaw.simulation.fault_injector import (
    EARLY_STEPS,
    ENGINE_GONE,
    HALF,
    IN_DOUBT_S,
    OUTBOUND,
    CommitTrigger,
    FaultInjector,
    RunnerKilled,
)
from nanoclaw.simulation.faults import Strike
from nanoclaw.simulation.runner_faults import RunnerControl
from nanoclaw.testing.world.hot_journal import leave_hot_journal


async def kill_host(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Kill the host at a commit, between two steps, or at once."""

    def fire(path: Path | None = None) -> None:
        details = ("",) if path is None else (f"at a commit of {path.name}",)
        if injector.world.host_lives:
            injector.struck(strike, *details)
            injector.world.kill_host_now()
        elif strike.point is not None:
            injector.miss(strike, "no host lived there")

    if strike.step is not None:
        injector.at_step(strike, strike.step, fire)
    else:
        _kill_host(injector, random, strike, fire)
    await trio.lowlevel.checkpoint()


def _kill_host(
    injector: FaultInjector, random: Random, strike: Strike, fire: Callable[[Path | None], None]
) -> None:
    match _way(random, strike):
        case 0 | 1:
            injector.at_next_commit(random, strike, "host", fire)
        case 2:
            injector.at_next_commit(random, strike, "runner", fire)
        case 3:
            injector.after_steps(random, strike, lambda: fire(None))
        case _:
            fire(None)


async def kill_in_doubt(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Kill the host soon after it has given up waiting for a receipt."""
    injector.network.silent += 1
    injector.struck(strike)
    injector.nursery.start_soon(_die_in_doubt, injector, strike, random.uniform(0.0, IN_DOUBT_S))
    await trio.lowlevel.checkpoint()


async def _die_in_doubt(injector: FaultInjector, strike: Strike, seconds: float) -> None:
    await injector.network.given_up.wait()
    await trio.sleep(seconds)
    if injector.world.host_lives:
        injector.note(strike, "the host dies")
        injector.world.kill_host_now()


async def kill_newborn(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Kill the host after a runner's commit, and the first runners of the next host at their start."""

    def fire(_path: Path) -> None:
        if injector.world.host_lives:
            injector.note(strike, "the host dies")
            injector.early_kills = [random.randrange(1, EARLY_STEPS) for _ in range(random.randrange(1, 4))]
            injector.world.kill_host_now()

    injector.triggers.append(CommitTrigger("runner", "after", random.randrange(1, 6), fire))
    injector.struck(strike)
    await trio.lowlevel.checkpoint()


async def stop_host(injector: FaultInjector, _random: Random, strike: Strike) -> None:
    """Stop the host gracefully. It is restarted later."""
    injector.struck(strike)
    with suppress(HostFailed):  # the task that restarts the host reports it
        await injector.world.stop()


async def kill_runner(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Kill a runner at a commit, between two steps, within a write, or at once."""

    def at_commit(path: Path) -> None:
        if path.name != OUTBOUND:  # a commit of the host, by its number
            now()
            return
        injector.struck(strike, path.parents[1].name)
        raise RunnerKilled("killed")

    def now() -> None:
        living = len(injector.world.runtime.runners)
        if living:
            injector.struck(strike, "one of", living)
            injector.world.kill_runner()
        elif strike.point is not None:
            injector.miss(strike, "no runner lived there")

    if strike.step is not None:
        injector.at_step(strike, strike.step, now)
    else:
        _kill_runner(injector, random, strike, at_commit, now)
    await trio.lowlevel.checkpoint()


def _kill_runner(
    injector: FaultInjector,
    random: Random,
    strike: Strike,
    at_commit: Callable[[Path], None],
    now: Callable[[], None],
) -> None:
    match _way(random, strike):
        case 0 | 1:
            injector.at_next_commit(random, strike, "runner", at_commit)
        case 2:
            injector.after_steps(random, strike, now)
        case 3:
            injector.nursery.start_soon(_die_writing, injector, random, strike)
        case _:
            now()


async def _die_writing(injector: FaultInjector, random: Random, strike: Strike) -> None:
    runners = injector.world.runtime.runners
    if runners:
        victim = runners[random.choice(sorted(runners))]
        injector.struck(strike, victim.spec.session_id, "in the middle of a write")
        outbound, aside = victim.spec.paths.outbound_db, injector.world.home / "dying.db"
        victim.at_its_end = lambda: leave_hot_journal(outbound, aside)
        victim.kill()
    await trio.lowlevel.checkpoint()


async def stuck_runner(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Freeze a runner for a while, as SIGSTOP does; if possible one in a turn."""
    controls = {id_: injector.controls.of(id_) for id_ in sorted(injector.world.runtime.runners)}
    found = [(id_, control) for id_, control in controls.items() if control is not None]
    if found:
        victim, control = random.choice([one for one in found if one[1].rests_since is None] or found)
        seconds = random.uniform(5.0, 600.0)
        if control.rests_since is None or random.random() < HALF or strike.now:
            injector.last(strike, injector.controls.frozen(victim), seconds, victim)
        else:
            injector.note(strike, victim, "waits for its next turn")
            injector.nursery.start_soon(_stick, injector, strike, victim, control, seconds)
    await trio.lowlevel.checkpoint()


async def _stick(
    injector: FaultInjector, strike: Strike, victim: str, control: RunnerControl, seconds: float
) -> None:
    await control.at_work.wait()
    injector.last(strike, injector.controls.frozen(victim), seconds, victim)


async def slow_runner(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Slow down a runner's file access."""
    runners = sorted(injector.world.runtime.runners)
    if runners:
        victim = random.choice(runners)
        injector.last(strike, injector.controls.slow(victim, random), random.uniform(10.0, 600.0), victim)
    await trio.lowlevel.checkpoint()


async def engine_gone(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Refuse to start runners for a while."""
    injector.last(strike, _without_engine(injector), random.uniform(5.0, 1800.0))
    await trio.lowlevel.checkpoint()


@contextmanager
def _without_engine(injector: FaultInjector) -> Iterator[None]:
    injector.world.runtime.gone = ENGINE_GONE
    try:
        yield
    finally:
        injector.world.runtime.gone = None


def _way(random: Random, strike: Strike) -> int:
    """Draw the way to kill: 0 is at a commit, 4 is at once."""
    if strike.point is None:
        return random.randrange(5)
    return 4 if strike.now else 0
