"""Changes by an administrator, and a session whose files the host cannot write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random

import apsw
import trio

from nanoclaw.simulation.fault_injector import DISK, UNREACHABLE, FaultInjector
from nanoclaw.simulation.faults import Strike


async def session_paused(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Pause a session and resume it later."""
    with suppress(*UNREACHABLE):
        sessions = await injector.world.host.admin.sessions.list("active")
        if sessions:
            session = random.choice(sorted(one.id for one in sessions))
            injector.struck(strike, session)
            injector.paused.add(session)
            await injector.world.host.admin.sessions.pause(session)
            injector.nursery.start_soon(_resume, injector, session, random.uniform(10.0, 3600.0))


async def session_buried(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Fail the host's writes to one session, so that its actor is given up for a while."""
    found = sorted(path.name for path in (injector.world.home / "data").glob("sessions/*/*"))
    if found:
        session = random.choice(found)
        error = DISK[random.choice(sorted(DISK))]
        injector.last(strike, _unwritable(injector, session, error), random.uniform(60.0, 1800.0), session)
    await trio.lowlevel.checkpoint()


@contextmanager
def _unwritable(injector: FaultInjector, session: str, error: Callable[[], apsw.Error]) -> Iterator[None]:
    injector.buried[session] = error
    try:
        yield
    finally:
        injector.buried.pop(session, None)


async def _resume(injector: FaultInjector, session: str, seconds: float) -> None:
    await trio.sleep(seconds)
    with suppress(*UNREACHABLE):
        await injector.resume(session)
        injector.note("session-paused", session, "is over")


async def destination_renamed(injector: FaultInjector, random: Random, strike: Strike) -> None:
    """Rename a destination of an agent."""
    with suppress(*UNREACHABLE):
        admin = injector.world.host.admin
        group = random.choice(await admin.agent_groups.list())
        names = sorted(one.local_name for one in await admin.destinations.of_agent(group.id))
        if not names:
            return
        name = random.choice(names)
        new = f"renamed-{random.randrange(1000)}"
        injector.struck(strike, group.folder, name, new)
        await admin.destinations.rename(group.id, name, new)
        injector.note(strike.fault, "is over")
