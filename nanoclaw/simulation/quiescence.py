"""Finds quiescent sessions: no commit for `PROMPT_S`, and no fault that hinders them.

All due work of a quiescent session must be done. Otherwise a wake-up was lost. Slow polls, sweeps and the
next message would recover from that, but late.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cached_property
from math import inf

import trio
from attrs import Factory, define, field

from nanoclaw.records import SessionPaths
from nanoclaw.session.actor import REFRESH_AGAIN_S
from nanoclaw.simulation.checks.promptness import PROMPT_S, STARTED_S, STUCK_S, due
from nanoclaw.simulation.fault_injector import FaultInjector
from nanoclaw.simulation.network import ROUNDING_S
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.world import World

TROUBLES = ("fault", "host ready", "host killed", "host failed", "host ended", "healed")
"""Events that may delay the work of sessions. Faults of the network do not."""


NETWORK, STUCK = "channel-", "stuck-runner"
JUMPS = ("clock-jumps", "wrong-date")


MACHINE = (
    "slow-disk",
    "disk-full",
    "io-error",
    "torn-writes",
    "no-descriptors",
    "read-error",
    "session-paused",
    "session-buried",
)


INBOUND = "inbound.db"
RUNNERS = ("runner started", "runner adopted", "runner ended")
RESUMED_S = 1.0
"""Seconds after the end of a pause within which the pause may still stop a runner that was starting."""


@define(eq=False)
class QuiescenceWatch:
    """Calls `look` with the sessions that are quiescent and those whose runner is stuck."""

    world: World
    injector: FaultInjector
    look: Callable[[frozenset[str], frozenset[str]], None]
    _enough_at: dict[str, float] = Factory(dict)
    """By session, the time at which it becomes quiescent."""
    _touched: dict[str, float] = Factory(dict)
    """By session with files, the time of its last event."""
    _replaced_by: dict[str, float] = Factory(dict)
    """By session with a frozen runner, the time by which it must be replaced."""
    wronged: list[str] = Factory(list)
    """Sessions whose healthy runner was stopped at work."""
    _sound: set[str] = Factory(set)
    """Sessions whose runner has met no fault except those of the network."""
    _untold: set[str] = Factory(set)
    """Sessions whose living runner was not told of a clock jump."""
    _jumped_at: float = -inf
    _tells_again_at: dict[str, float] = Factory(dict)
    """By session, the time at which the host repeats a commit that failed when it should tell of a jump."""
    _host_lives: bool = True
    _shaken_until: float = -PROMPT_S
    """The time by which failed projection writes have been retried."""
    _nap: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """The sleep until the next check."""

    def note(self, event: str, details: tuple[object, ...]) -> None:
        """Restart the wait of the sessions that a timeline event concerns."""
        if event == "commit":
            place = str(details[1]).split("/")
            if place[:2] == ["data", "sessions"]:  # …/<agent group>/<session>/<folder>/<file>
                self._note_told(place[-3])
                self._begin([place[-3]])
        elif event in RUNNERS:
            self._note_life(event, *map(str, details))
            self._note_told(str(details[0]))
            self._begin([str(details[0])])
            self._replaced_by.pop(str(details[0]), None)
        elif event in TROUBLES:
            fault = str(details[0]) if details else ""
            if not fault.startswith(NETWORK):
                self._note_trouble(event, fault)
                self._note_failed_commit(details)
                self._begin_to_wait_for_another(fault, details)

    def _note_trouble(self, event: str, fault: str) -> None:
        now = trio.current_time()
        if fault in {"healed", *MACHINE}:
            self._shaken_until = now + REFRESH_AGAIN_S
        if fault in JUMPS:
            self._jumped_at = now
        self._sound.clear()
        self._host_lives = event == "host ready" or (self._host_lives and not event.startswith("host "))
        # A host that dies soon after a jump may not have told its runners.
        if fault in JUMPS or (not self._host_lives and now <= self._jumped_at + PROMPT_S):
            self._note_jump()
        self._begin(list(self._touched))

    def _note_jump(self) -> None:
        """Mark the sessions that were not told: only the host notices a jump, and tells by a commit."""
        told = self.attended() - self.injector.hindered() if self._host_lives else frozenset[str]()
        self._untold |= self.world.runtime.runners.keys() - told
        for id_ in self._untold:
            self._enough_at.pop(id_, None)

    def _note_failed_commit(self, details: tuple[object, ...]) -> None:
        """Give the host time to repeat a commit that would have told a runner of a jump."""
        fault, session_id, file = [*map(str, details), "", "", ""][:3]
        now = trio.current_time()
        told_at = max(self._jumped_at, self._tells_again_at.get(session_id, -inf))
        if fault in MACHINE and file == INBOUND and now <= told_at + PROMPT_S:
            self._tells_again_at[session_id] = now + REFRESH_AGAIN_S
            self._begin([session_id])

    def _note_told(self, session_id: str) -> None:
        """Record that a session's runner cannot be unaware of a jump: it was told, is new, or works."""
        self._untold.discard(session_id)
        self._tells_again_at.pop(session_id, None)

    def _note_life(self, event: str, session_id: str, end: str = "") -> None:
        """Record a session if its healthy runner is stopped before it was idle long enough."""
        resumed_at = self.injector.resumed_at.get(session_id, -RESUMED_S)
        fresh = trio.current_time() - resumed_at < RESUMED_S
        if event == "runner started" and not fresh and session_id not in self.injector.hindered():
            self._sound.add(session_id)
        elif session_id in self._sound:
            self._sound.discard(session_id)
            wanted = session_id in self.attended() and session_id not in self.injector.paused
            if end == "stopped" and wanted and not self._was_idle(session_id):
                self.wronged.append(session_id)

    @cached_property
    def _runner_idle_s(self) -> float:
        return self.world.config().runtime.idle_s

    def _idle_s(self) -> float:
        return self._runner_idle_s + PROMPT_S

    def idle(self) -> frozenset[str]:
        """Return the sessions whose healthy runner has been idle for too long."""
        since = trio.current_time() - self._idle_s()
        controls = [
            (id_, self.injector.controls.of(id_)) for id_ in self._sound if self._touched[id_] <= since
        ]
        return frozenset(
            id_ for id_, control in controls if control and _since_before(control.rests_since, since)
        )

    def _was_idle(self, session_id: str) -> bool:
        control = self.injector.controls.of(session_id)
        since = trio.current_time() - self._runner_idle_s + PROMPT_S
        return control is None or _since_before(control.rests_since, since)

    def _begin_to_wait_for_another(self, fault: str, details: tuple[object, ...]) -> None:
        """Set the time by which frozen runners must be replaced. Faults of host or machine extend it."""
        by = trio.current_time() + STUCK_S
        if fault == STUCK and str(details[-1]).startswith("for "):
            self._replaced_by[str(details[1])] = by
        elif fault in {"", *MACHINE}:
            self._replaced_by.update(dict.fromkeys(self._replaced_by, by))

    def _begin(self, sessions: Iterable[str]) -> None:
        now = trio.current_time()
        for id_ in sessions:
            self._touched[id_] = now
            if id_ not in self._untold:
                self._is_enough_at(id_, now + PROMPT_S)

    def look_again(self, snapshot: Snapshot) -> None:
        """Schedule the next check for the time at which more work is due."""
        now = trio.current_time()
        date, idle_s = datetime.fromisoformat(snapshot.now), self._idle_s()
        for paths in snapshot.sessions():
            moments = [
                (datetime.fromisoformat(at) - date).total_seconds() for at in _moments(paths, snapshot.now)
            ]
            waits = [wait + PROMPT_S for wait in moments]
            if self.shaken:
                waits.append(self._shaken_until - now + PROMPT_S)
            undone = due(paths, snapshot.now, 0.0) or (
                paths.root.name in snapshot.unattended and _unsent(paths)
            )
            if undone and paths.root.name not in snapshot.awake:
                waits.append(STARTED_S)
            if paths.root.name in self._sound:
                waits.append(self._touched[paths.root.name] + idle_s - now)
            waits = [wait for wait in waits if wait > 0]
            if waits and paths.root.name not in self._untold:
                self._is_enough_at(paths.root.name, now + min(waits) + ROUNDING_S)

    async def watch(self) -> None:
        """Check each session when it becomes quiescent, until cancelled."""
        while True:
            moments = [*self._enough_at.values(), *self._replaced_by.values()]
            with trio.CancelScope(deadline=min(moments, default=inf)) as self._nap:
                await trio.sleep_forever()
            self._look()

    def _is_enough_at(self, session_id: str, moment: float) -> None:
        """Check the session at that time, but not before its runner was told of a jump."""
        at = max(moment, self._tells_again_at.get(session_id, -inf) + PROMPT_S)
        self._enough_at[session_id] = at
        self._is_due_at(at)

    def _is_due_at(self, moment: float) -> None:
        """Wake up at that time at the latest."""
        self._nap.deadline = min(self._nap.deadline, moment)

    def _look(self) -> None:
        # A hindered session is checked later: the end of its fault is a timeline event, too.
        free = _taken(self._enough_at) - self.injector.hindered()
        stuck = frozenset(id_ for id_ in _taken(self._replaced_by) if self._stands_at_work(id_))
        if free or stuck:
            self.look(free, stuck & self.attended())
            self.wronged.clear()

    def _stands_at_work(self, session_id: str) -> bool:
        runner, control = self.world.runtime.runners.get(session_id), self.injector.controls.of(session_id)
        if runner is None or control is None or runner.abandoned or runner.scope.cancel_called:
            return False
        # A frozen runner cannot commit, so a turn that ends while it is frozen still counts as open.
        at_work = control.rests_since is None or control.rests_since > control.stands_since
        return at_work and control.stands_since <= trio.current_time() - STUCK_S

    @property
    def shaken(self) -> bool:
        """True if the disk failed so recently that projections may wait for another try."""
        return trio.current_time() < self._shaken_until + PROMPT_S

    def left_alone(self) -> frozenset[str]:
        """Return the sessions without a runner and without an event for `STARTED_S`."""
        now = trio.current_time()
        alone = {id_ for id_, at in self._touched.items() if at <= now - STARTED_S}
        return (
            frozenset() if self.world.runtime.gone else frozenset(alone - self.world.runtime.runners.keys())
        )

    def unattended(self) -> frozenset[str]:
        """Return the sessions that have no actor while the host runs."""
        try:
            known = {node.name for node in self.world.host.sessions.nodes()}
        except WorldError:
            return frozenset()
        return frozenset(self._touched.keys() - known) if self._host_lives else frozenset()

    def attended(self) -> frozenset[str]:
        """Return the sessions with a running actor."""
        try:
            return frozenset(
                node.name for node in self.world.host.sessions.nodes() if node.state == "running"
            )
        except WorldError:
            return frozenset()


def _since_before(at: float | None, since: float) -> bool:
    return at is not None and at <= since


def _taken(moments: dict[str, float]) -> frozenset[str]:
    """Remove and return the sessions whose time has come."""
    now = trio.current_time()
    return frozenset([id_ for id_, at in list(moments.items()) if at <= now and moments.pop(id_)])


def _unsent(paths: SessionPaths) -> bool:
    return bool(rows(paths.inbound_db, "SELECT 1 FROM deliveries WHERE status <> 'final' LIMIT 1"))


def _moments(paths: SessionPaths, now: str) -> list[str]:
    """Return the dates at which work will be due."""
    sql = """
        SELECT min(process_after) FROM messages_in
        WHERE status = 'pending' AND trigger AND process_after > :now
        UNION ALL SELECT min(next_attempt) FROM deliveries WHERE status <> 'final' AND next_attempt > :now
        """
    return [str(at) for (at,) in rows(paths.inbound_db, sql, now=now) if at is not None]
