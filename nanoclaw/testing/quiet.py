"""Moments at which a session has had time enough: its files rested for a while, and nothing hindered it.

Then nothing may be left that a wake-up should have brought about. Slow polls, sweeps and the next message
heal a wake-up that was lost, so it costs nothing but time: here is where the time is asked for.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from math import inf

import trio
from attrs import Factory, define, field

from nanoclaw.records import SessionPaths
from nanoclaw.session.actor import REFRESH_AGAIN_S
from nanoclaw.store.times import to_text
from nanoclaw.testing.errors import WorldError
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.mischief import Mischief
from nanoclaw.testing.network import ROUNDING_S
from nanoclaw.testing.scene import Check, Scene, projections_are_true
from nanoclaw.testing.world import World

PROMPT_S = 1.7
"""Within this everything has happened that waits for nobody: in virtual time work takes none."""
STARTED_S = 150.0
"""Whatever went wrong before, a runner is started within this: session and keeper wait for a minute each."""
STUCK_S = 195.0
"""A runner that stands still with a claim is replaced within this: a tool may take two minutes, a last beat
comes up to 10 s later, and sweeps every half minute, of which one sees that and one misses the next.
"""
TROUBLES = ("fault", "host ready", "host killed", "host failed", "host ended", "healed")
"""What may have kept sessions from their work until now; faults of the network do not."""
NETWORK, STUCK, JUMP = "channel-", "stuck-runner", "clock-jumps"
MACHINE = ("slow-disk", "disk-full", "io-error", "torn-writes", "session-paused", "session-buried")
RUNNERS = ("runner started", "runner adopted", "runner ended")


@define(eq=False)
class Quiet:
    """Waits for such moments. `look` is called with the sessions that have one, and those that are stuck."""

    world: World
    mischief: Mischief
    look: Callable[[frozenset[str], frozenset[str]], None]
    _enough_at: dict[str, float] = Factory(dict)
    """When each session that has something to show will have had time enough."""
    _touched: dict[str, float] = Factory(dict)
    """When something last happened in each session, or might have; those that have files."""
    _replaced_by: dict[str, float] = Factory(dict)
    """When runners that stand still will have had to be replaced."""
    wronged: list[str] = Factory(list)
    """Sessions whose runner was stopped while nothing was wrong with it."""
    _sound: set[str] = Factory(set)
    """Those whose runner has lived without any fault but the network's."""
    _untold: set[str] = Factory(set)
    """Those whose runner lives, and was told by nobody that the clock has jumped."""
    _jumped_at: float = -inf
    _host_lives: bool = True
    _shaken_until: float = -PROMPT_S
    """When what could not be written, for the disk failed, has been tried again."""
    _nap: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """Until the next moment to look at."""

    def note(self, event: str, details: tuple[object, ...]) -> None:
        """A step of the timeline: time begins again for those whom it concerns."""
        if event == "commit":
            place = str(details[1]).split("/")
            if len(place) > 3:  # noqa: PLR2004 -- data/sessions/<agent group>/<session>/…
                self._untold.discard(place[-3])
                self._begin([place[-3]])
        elif event in RUNNERS:
            self._note_life(event, *map(str, details))
            self._untold.discard(str(details[0]))
            self._begin([str(details[0])])
            self._replaced_by.pop(str(details[0]), None)
        elif event in TROUBLES:
            fault = str(details[0]) if details else ""
            if not fault.startswith(NETWORK):
                self._note_trouble(event, fault)
                self._begin_to_wait_for_another(fault, details)

    def _note_trouble(self, event: str, fault: str) -> None:
        now = trio.current_time()
        if fault in {"healed", *MACHINE}:
            self._shaken_until = now + REFRESH_AGAIN_S
        if fault == JUMP:
            self._jumped_at = now
        self._sound.clear()
        self._host_lives = event == "host ready" or (self._host_lives and not event.startswith("host "))
        # A host that dies soon after a jump may have told nobody.
        if fault == JUMP or (not self._host_lives and now <= self._jumped_at + PROMPT_S):
            self._note_jump()
        self._begin(list(self._touched))

    def _note_jump(self) -> None:
        """Only a host hears of it, and tells the runners of the sessions that it sees to: by a commit."""
        told = self.attended() - self.mischief.hindered() if self._host_lives else frozenset[str]()
        self._untold |= self.world.runtime.runners.keys() - told
        for id_ in self._untold:
            self._enough_at.pop(id_, None)

    def _note_life(self, event: str, session_id: str, end: str = "") -> None:
        """A runner that was sound, and at work or not idle for long yet, is let be by its host."""
        if event == "runner started" and session_id not in self.mischief.hindered():
            self._sound.add(session_id)
        elif session_id in self._sound:
            self._sound.discard(session_id)
            wanted = session_id in self.attended() and session_id not in self.mischief.paused
            if end == "stopped" and wanted and not self._was_idle(session_id):
                self.wronged.append(session_id)

    def _idle_s(self) -> float:
        return self.world.config().runtime.idle_s + PROMPT_S

    def idle(self) -> frozenset[str]:
        """Sessions whose runner has lived without any fault, and rested for longer than it may."""
        since = trio.current_time() - self._idle_s()
        bodies = [(id_, self.mischief.bodies.of(id_)) for id_ in self._sound if self._touched[id_] <= since]
        return frozenset(id_ for id_, body in bodies if body and _since_before(body.rests_since, since))

    def _was_idle(self, session_id: str) -> bool:
        body, idle_s = self.mischief.bodies.of(session_id), self.world.config().runtime.idle_s
        return body is None or _since_before(body.rests_since, trio.current_time() - idle_s + PROMPT_S)

    def _begin_to_wait_for_another(self, fault: str, details: tuple[object, ...]) -> None:
        """A runner that stands still is replaced in time, if neither host nor machine has troubles."""
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
                self._enough_at[id_] = now + PROMPT_S
        self._is_due_at(now + PROMPT_S)

    def look_again(self, scene: Scene) -> None:
        """Where more is due later it is looked again then, if nothing happens before."""
        now = trio.current_time()
        date, idle_s = datetime.fromisoformat(scene.now), self._idle_s()
        for paths in scene.sessions():
            moments = [
                (datetime.fromisoformat(at) - date).total_seconds() for at in _moments(paths, scene.now)
            ]
            waits = [wait + PROMPT_S for wait in moments]
            if self.shaken:
                waits.append(self._shaken_until - now + PROMPT_S)
            undone = _due(paths, scene.now, 0.0) or (paths.root.name in scene.unattended and _unsent(paths))
            if undone and paths.root.name not in scene.awake:
                waits.append(STARTED_S)
            if paths.root.name in self._sound:
                waits.append(self._touched[paths.root.name] + idle_s - now)
            waits = [wait for wait in waits if wait > 0]
            if waits and paths.root.name not in self._untold:
                self._enough_at[paths.root.name] = now + min(waits) + ROUNDING_S
                self._is_due_at(now + min(waits) + ROUNDING_S)

    async def watch(self) -> None:
        """Look at each such moment, until cancelled."""
        while True:
            moments = [*self._enough_at.values(), *self._replaced_by.values()]
            with trio.CancelScope(deadline=min(moments, default=inf)) as self._nap:
                await trio.sleep_forever()
            self._look()

    def _is_due_at(self, moment: float) -> None:
        """Something is to be looked at then, which may be before all that was known of."""
        self._nap.deadline = min(self._nap.deadline, moment)

    def _look(self) -> None:
        # Who is hindered now is looked at when that is over, which is a step of the timeline, too.
        free = _taken(self._enough_at) - self.mischief.hindered()
        stuck = frozenset(id_ for id_ in _taken(self._replaced_by) if self._stands_at_work(id_))
        if free or stuck:
            self.look(free, stuck & self.attended())
            self.wronged.clear()

    def _stands_at_work(self, session_id: str) -> bool:
        runner, body = self.world.runtime.runners.get(session_id), self.mischief.bodies.of(session_id)
        if runner is None or body is None or runner.abandoned or runner.scope.cancel_called:
            return False
        # A turn that comes to its end meanwhile cannot be ended: that would be a commit.
        at_work = body.rests_since is None or body.rests_since > body.stands_since
        return at_work and body.stands_since <= trio.current_time() - STUCK_S

    @property
    def shaken(self) -> bool:
        """Whether the disk has failed so lately that projections may wait for another try."""
        return trio.current_time() < self._shaken_until + PROMPT_S

    def left_alone(self) -> frozenset[str]:
        """Sessions without a runner in which nothing has happened for long, and nothing hindered one."""
        now = trio.current_time()
        alone = {id_ for id_, at in self._touched.items() if at <= now - STARTED_S}
        return (
            frozenset() if self.world.runtime.gone else frozenset(alone - self.world.runtime.runners.keys())
        )

    def unattended(self) -> frozenset[str]:
        """Sessions that the host, which lives, does not see to."""
        try:
            known = {node.name for node in self.world.host.sessions.nodes()}
        except WorldError:
            return frozenset()
        return frozenset(self._touched.keys() - known) if self._host_lives else frozenset()

    def attended(self) -> frozenset[str]:
        """Sessions that the host sees to now."""
        try:
            return frozenset(
                node.name for node in self.world.host.sessions.nodes() if node.state == "running"
            )
        except WorldError:
            return frozenset()


def _since_before(at: float | None, since: float) -> bool:
    return at is not None and at <= since


def _taken(moments: dict[str, float]) -> frozenset[str]:
    """Those whose moment has come; they are taken out."""
    now = trio.current_time()
    return frozenset([id_ for id_, at in list(moments.items()) if at <= now and moments.pop(id_)])


# -- what is asked then ----------------------------------------------------------


def nobody_waits_for_a_poll(scene: Scene) -> Iterator[str]:
    """What is due is claimed by a runner that is free, or that waits for it in the middle of a turn."""
    for paths in scene.sessions():
        id_ = paths.root.name
        if id_ in scene.resting or id_ in scene.listening:
            acks = _acks(paths)
            for message, tries in _due(paths, scene.now, PROMPT_S):
                mine = [status for status, attempt in acks.get(message, []) if attempt in {None, tries}]
                if id_ in scene.resting and mine in ([], ["processing"]):
                    yield f"{id_}: {message} is due, and its runner does nothing"
                if id_ in scene.listening and not tries and message not in acks:
                    yield f"{id_}: {message} is due, and the turn that waits for follow-ups does not have it"


def replies_are_seen_at_once(scene: Scene) -> Iterator[str]:
    """What the runner has committed is in the ledger, and its outcomes are settled."""
    for paths in scene.sessions():
        id_ = paths.root.name
        if id_ in scene.attended:
            [(said,)] = rows(paths.outbound_db, "SELECT coalesce(max(seq), 0) FROM messages_out")
            seen = rows(
                paths.inbound_db, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'outbound_seq'"
            )
            if said > max([0, *(mark for (mark,) in seen)]):
                yield f"{id_}: {said} was said, and the ledger ends at {seen}"
            acks = _acks(paths)
            for message, tries in _due(paths, scene.now, PROMPT_S):
                mine = [status for status, attempt in acks.get(message, []) if attempt in {None, tries}]
                if mine not in ([], ["processing"]):
                    yield f"{id_}: {message} is {mine[0]}, and that is not settled"


def replies_are_tried_at_once(scene: Scene) -> Iterator[str]:
    """While nothing is being sent, the first one waits for its time, or for a channel: no other holds it.

    In a session that nobody sees to, nothing waits for long.
    """
    sql = """
        SELECT message_out_id, iif(error IS NULL, coalesce(next_attempt, ''), next_attempt) <= :since AS waits
        FROM deliveries WHERE status <> 'final' AND message_out_id NOT LIKE '%@%'
          AND NOT EXISTS (SELECT 1 FROM deliveries WHERE status = 'sending')
        ORDER BY seq, rowid LIMIT 1
        """
    for paths in scene.sessions():
        forgotten = paths.root.name in scene.unattended and paths.root.name in scene.left_alone
        if forgotten or paths.root.name in scene.attended:
            for key, waits in rows(paths.inbound_db, sql, since=_before(scene.now, PROMPT_S)):
                if waits:
                    yield f"{paths.root.name}: {key} could be sent, and waits"


def work_gets_a_runner(scene: Scene) -> Iterator[str]:
    """What is due in an active session has a runner started for it, also where nobody saw to it so far."""
    active = "SELECT 1 FROM sessions WHERE id = :id AND status = 'active'"
    for paths in scene.sessions():
        id_ = paths.root.name
        seen_to = id_ in scene.attended or id_ in scene.unattended
        if id_ in scene.left_alone and seen_to and rows(scene.data / "v2.db", active, id=id_):
            for message, _ in _due(paths, scene.now, STARTED_S):
                yield f"{id_}: {message} is due, and no runner is started"


def paused_sessions_rest(scene: Scene) -> Iterator[str]:
    """A session that is not active has no runner."""
    status = "SELECT status FROM sessions WHERE id = :id AND status <> 'active'"
    for paths in scene.sessions():
        id_ = paths.root.name
        if id_ in scene.awake and id_ in scene.attended:
            for (found,) in rows(scene.data / "v2.db", status, id=id_):
                yield f"{id_}: it is {found}, and has a runner"


def runners_at_work_are_let_be(scene: Scene) -> Iterator[str]:
    """No runner of an active session is stopped that nothing hinders, unless it has rested for long."""
    active = "SELECT 1 FROM sessions WHERE id = :id AND status = 'active'"
    for id_ in scene.wronged:
        if rows(scene.data / "v2.db", active, id=id_):
            yield f"{id_}: its runner was at work, and was stopped"


def idle_runners_are_stopped(scene: Scene) -> Iterator[str]:
    """A runner that has nothing to do goes, after a while."""
    for paths in scene.sessions():
        id_ = paths.root.name
        if id_ in scene.idle and id_ in scene.attended and not _due(paths, scene.now, 0.0):
            yield f"{id_}: its runner has had nothing to do for long, and is let be"


def stuck_runners_are_replaced(scene: Scene) -> Iterator[str]:
    """A runner that stands still in the middle of a turn is stopped."""
    for id_ in scene.stuck:
        yield f"{id_}: its runner has stood still for {STUCK_S:g} s, and was let be"


def _due(paths: SessionPaths, now: str, for_s: float) -> list[tuple[str, int]]:
    """What has been due for so long, with its number of tries."""
    sql = """
        SELECT id, coalesce(tries, 0) FROM messages_in
        WHERE status = 'pending' AND trigger AND NOT on_wake AND coalesce(process_after, '') <= :since
        """
    return [(str(id_), int(tries)) for id_, tries in rows(paths.inbound_db, sql, since=_before(now, for_s))]


def _unsent(paths: SessionPaths) -> bool:
    return bool(rows(paths.inbound_db, "SELECT 1 FROM deliveries WHERE status <> 'final' LIMIT 1"))


def _before(now: str, seconds: float) -> str:
    return to_text(datetime.fromisoformat(now) - timedelta(seconds=seconds))


def _moments(paths: SessionPaths, now: str) -> list[str]:
    """Dates at which something will be due."""
    sql = """
        SELECT min(process_after) FROM messages_in
        WHERE status = 'pending' AND trigger AND process_after > :now
        UNION ALL SELECT min(next_attempt) FROM deliveries WHERE status <> 'final' AND next_attempt > :now
        """
    return [str(at) for (at,) in rows(paths.inbound_db, sql, now=now) if at is not None]


def _acks(paths: SessionPaths) -> dict[str, list[tuple[str, int | None]]]:
    found = rows(paths.outbound_db, "SELECT message_id, status, attempt FROM processing_ack")
    return {str(id_): [(str(status), attempt)] for id_, status, attempt in found}


QUIET_CHECKS: tuple[Check, ...] = (
    nobody_waits_for_a_poll,
    replies_are_seen_at_once,
    replies_are_tried_at_once,
    work_gets_a_runner,
    runners_at_work_are_let_be,
    stuck_runners_are_replaced,
    idle_runners_are_stopped,
    projections_are_true,
    paused_sessions_rest,
)
"""Asked of each session that has had time enough."""
