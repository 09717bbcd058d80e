"""Faults of the machine: its disk, its descriptors, its clock, and damaged files."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Literal

import apsw
import trio

from nanoclaw.simulation.fault_injector import (
    DISK,
    EXCUSED_S,
    HALF,
    LONGEST_AHEAD_S,
    LONGEST_JUMP_BACK_S,
    LONGEST_JUMP_S,
    NEXT_COMMITS,
    CommitTrigger,
    FaultInjector,
    Side,
)
from nanoclaw.simulation.faults import Strike
from nanoclaw.simulation.system_limits import no_descriptor, no_file_beyond, no_read
from nanoclaw.store.engine.anew import CENTRAL


async def slow_host(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Slow down the disk of host and runners."""
    longest = random.choice((0.01, 0.1, 1.0))
    injector.last(
        strike, _slow_disk(injector, random, longest), random.uniform(10.0, 300.0), f"up to {longest} s"
    )
    await trio.lowlevel.checkpoint()


@contextmanager
def _slow_disk(injector: FaultInjector, random: Random, longest: float) -> Iterator[None]:
    injector.world.executor.pause = lambda: random.uniform(0.0, longest)
    try:
        yield
    finally:
        injector.world.executor.pause = None


async def disk(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Fail one commit of the host or of a runner, or all commits of one side for a while."""
    side: Side = random.choice(("host", "runner"))
    error = DISK[strike.fault]

    def once(path: Path) -> None:
        injector.struck(strike, *([] if path.name == CENTRAL else [path.parents[1].name]), path.name)
        injector.disk_until = trio.current_time() + EXCUSED_S
        raise error()

    if strike.commit is not None or (not strike.now and random.random() < HALF):
        injector.set_trigger(
            CommitTrigger(side, "before", random.randrange(1, NEXT_COMMITS), once, strike.commit), strike
        )
    else:
        injector.last(strike, _failing(injector, side, error), random.uniform(1.0, 120.0), side)
    await trio.lowlevel.checkpoint()


@contextmanager
def _failing(injector: FaultInjector, side: Side, error: Callable[[], apsw.Error]) -> Iterator[None]:
    entry = (side, error)
    injector.disk.append(entry)
    try:
        yield
    finally:
        if entry in injector.disk:
            injector.disk.remove(entry)
        injector.disk_until = trio.current_time() + EXCUSED_S


async def torn_writes(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Limit the file size of some store calls of host and runners, so that writes are torn."""

    def limit() -> AbstractContextManager[None]:
        return no_file_beyond(random.choice((0, random.randrange(70_000))))

    await _hinder(injector, random, strike, limit)


async def no_descriptors(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let some store calls of host and runners open nothing, because descriptors are exhausted (EMFILE)."""
    await _hinder(injector, random, strike, no_descriptor)


async def read_error(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Let some reads of containers' files fail with EIO, which passes."""
    await _hinder(injector, random, strike, no_read)


async def _hinder(
    injector: FaultInjector,
    random: Random,
    strike: Strike,
    hindrance: Callable[[], AbstractContextManager[None]],
) -> None:
    """Hinder a share of the store calls of host and runners for a while."""
    seconds, share = random.uniform(1.0, 60.0), random.choice((0.1, 0.5, 1.0))
    injector.last(
        strike, _hindering(injector, random, share, hindrance), seconds, f"{share:.0%} of the calls"
    )
    await trio.lowlevel.checkpoint()


@contextmanager
def _hindering(
    injector: FaultInjector,
    random: Random,
    share: float,
    hindrance: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    def around() -> AbstractContextManager[None]:
        made = hindrance()
        return made if random.random() < share else nullcontext()

    injector.world.executor.around = around
    injector.hindered_now += 1
    try:
        yield
    finally:
        injector.hindered_now -= 1
        injector.world.executor.around = None
        injector.disk_until = trio.current_time() + EXCUSED_S


async def clock_jumps(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Move the date, as a suspend does."""
    by = random.uniform(-LONGEST_JUMP_BACK_S, LONGEST_JUMP_S)
    injector.struck(strike, f"{by:+.0f} s")
    injector.world.clock.jump(timedelta(seconds=by))
    await trio.lowlevel.checkpoint()


async def wrong_date(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Set the date ahead for a while, in which waits and tasks begin, and then back."""
    ahead = random.uniform(LONGEST_AHEAD_S / 4, LONGEST_AHEAD_S)
    injector.last(strike, _ahead(injector, ahead), random.choice((1.0, 10.0, 100.0)), f"{ahead:+.0f} s")
    await trio.lowlevel.checkpoint()


@contextmanager
def _ahead(injector: FaultInjector, seconds: float) -> Iterator[None]:
    injector.world.clock.jump(timedelta(seconds=seconds))
    try:
        yield
    finally:
        injector.world.clock.jump(timedelta(seconds=-seconds))


async def corrupt_inbound(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Damage a session's inbound file until it is repaired."""
    await _corrupt(injector, random, strike, "inbound")


async def corrupt_outbound(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Damage a session's outbound file until it is repaired."""
    await _corrupt(injector, random, strike, "outbound")


async def _corrupt(
    injector: FaultInjector, random: Random, strike: Strike, side: Literal["inbound", "outbound"]
) -> None:
    path = injector.damage.candidate(random, side)
    if path is not None:
        injector.struck(strike, path.parents[1].name)
        await injector.damage.do(random, path)
