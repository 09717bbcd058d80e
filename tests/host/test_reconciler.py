"""The alarm of a session, with a clock that ticks between two looks at it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio

from nanoclaw.session.pending import Pending
from nanoclaw.session.reconciler import Reconciler
from nanoclaw.store.messages_in import OpenMessage
from tests.host.homes import config
from tests.host.runtimes import FakeRuntime
from tests.host.test_keeper import a_keeper

DUE = datetime(2026, 1, 1, tzinfo=UTC)
"""When the one message may be tried again."""


class Ticking:
    """Tells one moment after the other; the last one stays."""

    def __init__(self, moments: Sequence[datetime]) -> None:
        self.moments = list(moments)

    def now(self) -> datetime:
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]


def reconciler(home: Path, keeper: Any, clock: Ticking) -> Reconciler:
    """One with a message that is due at `DUE`, and nothing else."""
    pending = Pending(5.0, 5)
    pending.add([OpenMessage("in-1", 2, 1, DUE, trigger=True, address=None, platform_message_id=None)])
    presences = SimpleNamespace(note=lambda *_, **__: None)
    services: Any = SimpleNamespace(clock=clock, config=config(home), presences=presences)
    queue = SimpleNamespace(next_due=lambda _: None, in_flight=None)
    parts: Any = SimpleNamespace(idle=True, queue=queue)
    return Reconciler(services, "sess-1", "active", parts, parts, pending, keeper, parts, 0, lambda: False)


async def test_a_message_that_becomes_due_between_two_looks_at_the_clock_is_not_slept_over(
    tmp_path: Path,
) -> None:
    early, late = DUE - timedelta(milliseconds=1), DUE + timedelta(milliseconds=1)
    for ticks in range(1, 8):
        async with a_keeper(tmp_path, FakeRuntime()) as keeper:
            session = reconciler(tmp_path, keeper, Ticking([early] * ticks + [late]))
            session.carry_on()
            started = keeper.state == "running"
            assert started or session._sleep_s() <= 0.001


async def test_a_session_sleeps_until_its_message_is_due(tmp_path: Path) -> None:
    async with a_keeper(tmp_path, FakeRuntime()) as keeper:
        session = reconciler(tmp_path, keeper, Ticking([DUE - timedelta(seconds=30)]))
        session.carry_on()
        assert (keeper.state, session._sleep_s()) == ("absent", 30.0)


async def test_a_session_sleeps_through_the_back_off_of_its_runner(tmp_path: Path) -> None:
    async with a_keeper(tmp_path, FakeRuntime()) as keeper:
        keeper.count_failure("no engine")
        session = reconciler(tmp_path, keeper, Ticking([DUE]))
        session._acquainted = True  # it has looked before
        session.carry_on()
        assert (keeper.state, session._sleep_s()) == ("absent", 1.0)
        await trio.sleep(session._sleep_s())
        session.carry_on()
        assert keeper.state == "running"
