"""Hosts that bear the troubles of a hostile agent, in any runtime."""

from collections.abc import Sequence

import pytest

from nanoclaw.config import Config
from tests.hostile.stage import besieged

READY = "ready"


async def bears_locks(settings: Config, interpreter: Sequence[str]) -> None:
    """Check that locks on every file cost the session of the agent alone."""
    async with besieged(settings, interpreter, "locks") as siege:
        held = (await siege.attacks(READY))["held"]
        assert "/workspace/in/inbound.db: shared" in held
        assert "/workspace/in/inbound.db: exclusive" not in held
        assert "/workspace/outbound.db: exclusive" in held
        await siege.neighbour_answers()
        await siege.details(lambda details: details.unreadable)


async def bears_events(settings: Config, interpreter: Sequence[str], patch: pytest.MonkeyPatch) -> None:
    """Check that a flood of file events is polled, and delays nobody."""
    patch.setattr("nanoclaw.system.wakeups.SWEEP_S", 0.2)
    async with besieged(settings, interpreter, "events") as siege:
        await siege.attacks(READY)
        await siege.neighbour_answers()
        await siege.details(lambda details: details.polled)
        await siege.neighbour_answers()


async def bears_other_things(settings: Config, interpreter: Sequence[str]) -> None:
    """Check that nothing in the place of any file stops the host, or touches a file of the host."""
    victim = settings.home / "victim-mjABCDEF9FF"
    victim.write_bytes(bytes(settings.home / "outbound.db-journal") + b"\0")
    before = victim.stat()
    async with besieged(settings, interpreter, "places") as siege:
        await siege.attacks(READY, victim=str(victim))
        await siege.neighbour_answers()
    after = victim.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_uid, after.st_mode) == (
        *(before.st_mtime_ns, before.st_size, before.st_uid, before.st_mode),
    )


async def bears_a_storm(settings: Config, interpreter: Sequence[str]) -> None:
    """Check that a neighbour is answered while an agent takes all that its bounds allow."""
    async with besieged(settings, interpreter, "storm") as siege:
        told = await siege.attacks(READY)
        assert told["children"] < 64
        await siege.neighbour_answers()
        await siege.neighbour_answers()
