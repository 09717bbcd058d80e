"""Carries out the effects that a session has decided, without waiting."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import inf

import structlog
import trio
from attrs import Factory, define, field

from nanoclaw.channels.chat_sender import Settled, Typing
from nanoclaw.records import Address
from nanoclaw.session import decisions
from nanoclaw.session.decisions import Effect
from nanoclaw.session.queue import Delivery
from nanoclaw.session.runner_supervisor import Report, RunnerSupervisor
from nanoclaw.session.services import Services

_log = structlog.get_logger()


@define(eq=False)
class Alarm:
    """The sleep of the look loop between two rounds."""

    _woken: trio.Event = Factory(trio.Event)
    _sleep: trio.CancelScope | None = None

    @property
    def asleep(self) -> bool:
        """True while the loop sleeps."""
        return self._sleep is not None

    def wake(self) -> None:
        """Begin another round at once. Synchronous."""
        self._woken.set()

    def begin_round(self) -> None:
        """Forget earlier wake-ups. Only later ones cause another round."""
        self._woken = trio.Event()

    def set(self, seconds: float) -> None:
        """End the current sleep after this time."""
        if self._sleep is not None:
            self._sleep.deadline = trio.current_time() + seconds

    async def sleep(self, seconds: float) -> None:
        """Sleep until woken, at most for this time."""
        with trio.CancelScope(deadline=trio.current_time() + seconds) as self._sleep:
            await self._woken.wait()
        self._sleep = None


Hint = tuple[Address, Typing | Settled]


@define(eq=False)
class Outlets:
    """The channels from the look loop to the delivery task and to the hints task."""

    attempts: tuple[trio.MemorySendChannel[Delivery], trio.MemoryReceiveChannel[Delivery]] = field(
        factory=lambda: trio.open_memory_channel[Delivery](1)
    )
    hints: tuple[trio.MemorySendChannel[Hint], trio.MemoryReceiveChannel[Hint]] = field(
        factory=lambda: trio.open_memory_channel[Hint](inf)
    )


@define(eq=False)
class Effects:
    """The parts of the host that the effects of one session use."""

    services: Services
    session_id: str
    agent_group_id: str
    supervisor: RunnerSupervisor
    retire: Callable[[], bool]
    """Retires the session's actor, unless a message is arriving."""
    alarm: Alarm = Factory(Alarm)
    outlets: Outlets = Factory(Outlets)
    _under_way: int = 0
    """The number of rounds and stores in progress. The session does not retire meanwhile."""

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Keep the session from retiring while open."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def carry_out(self, effect: Effect, report: Report) -> None:
        """Carry out one effect. `report` is called with each event of the runner."""
        match effect:
            case decisions.StartRunner():
                self.supervisor.start(report)
            case decisions.StopRunner():
                self.supervisor.stop()
            case decisions.RecoverOutbound():
                self.supervisor.recover(report)
            case decisions.HandOver(delivery):
                self.outlets.attempts[0].send_nowait(delivery)
            case decisions.Wake():
                self.alarm.wake()
            case decisions.Retire():
                if not self._under_way:
                    self.retire()
            case _:
                self._tell(effect)

    def _tell(self, effect: Effect) -> None:
        services, session_id = self.services, self.session_id
        match effect:
            case decisions.ShowTyping(address):
                self.outlets.hints[0].send_nowait((address, Typing(address)))
            case decisions.TellSettled(address, platform_message_id, outcome):
                self.outlets.hints[0].send_nowait((address, Settled(address, platform_message_id, outcome)))
            case decisions.NotePresence(status, idle_s):
                last_active = services.clock.now() - timedelta(seconds=idle_s)
                services.presences.note(session_id, container_status=status, last_active=last_active)
            case decisions.CountUsage(turns, tool_calls, messages):
                services.budgets.count(
                    session_id, self.agent_group_id, turns=turns, tool_calls=tool_calls, messages=messages
                )
            case decisions.TellLooked(seen, now):
                services.observer.looked(session_id, seen, now)
            case decisions.TellQuarantined(reason):
                services.observer.quarantined(session_id, reason)
            case decisions.Log(level, event, fields):
                getattr(_log, level)(event, **fields)
