"""Moments at which a session has had time enough: its files rested for a while, and nothing hindered it.

Then nothing may be left that a wake-up should have brought about. Slow polls, sweeps and the next message
heal a wake-up that was lost, so it costs nothing but time: here is where the time is asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import trio
from attrs import Factory, define, field

from nanoclaw.records import SessionPaths
from nanoclaw.store.times import to_text
from nanoclaw.testing.errors import WorldError
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.mischief import Mischief
from nanoclaw.testing.scene import Check, Scene, projections_are_true
from nanoclaw.testing.world import World

PROMPT_S = 1.7
"""Within this everything has happened that waits for nobody: in virtual time work takes none."""
TROUBLES = ("fault", "host ready", "host killed", "host failed", "host ended", "healed")
"""What may have kept sessions from their work until now; faults of the network do not."""
NETWORK, JUMP = "channel-", "clock-jumps"


@define(eq=False)
class Quiet:
    """Waits for such moments. `look` is called with the sessions that have one."""

    world: World
    mischief: Mischief
    look: Callable[[frozenset[str]], None]
    _enough_at: dict[str, float] = Factory(dict)
    """When each session that has something to show will have had time enough."""
    _known: dict[str, None] = Factory(dict)
    """Sessions that have files, in the order in which they came."""
    _host_lives: bool = True
    _some: trio.Event = field(factory=trio.Event, init=False)

    def note(self, event: str, details: tuple[object, ...]) -> None:
        """A step of the timeline: time begins again for those whom it concerns."""
        if event == "commit":
            place = str(details[1]).split("/")
            if len(place) > 3:  # noqa: PLR2004 -- data/sessions/<agent group>/<session>/…
                self._known[place[-3]] = None
                self._begin([place[-3]])
        elif event in {"runner started", "runner adopted"}:
            self._begin([str(details[0])])
        elif event == "fault" and str(details[0]) == JUMP and not self._host_lives:
            self._enough_at.clear()  # only a host hears of it, and tells its runners
        elif event in TROUBLES and not (details and str(details[0]).startswith(NETWORK)):
            self._host_lives = event == "host ready" or (self._host_lives and not event.startswith("host "))
            self._begin(self._known)

    def _begin(self, sessions: "Sequence[str] | dict[str, None]") -> None:
        enough_at = trio.current_time() + PROMPT_S
        self._enough_at.update((id_, enough_at) for id_ in sessions)
        self._some.set()

    async def watch(self) -> None:
        """Look at each such moment, until cancelled."""
        while True:
            while self._enough_at:
                await trio.sleep_until(min(self._enough_at.values()))
                self._look()
            self._some = trio.Event()
            await self._some.wait()

    def _look(self) -> None:
        now = trio.current_time()
        ready = frozenset(id_ for id_, at in self._enough_at.items() if at <= now)
        for id_ in ready:
            del self._enough_at[id_]
        # Who is hindered now is looked at when that is over, which is a step of the timeline, too.
        free = ready - self.mischief.hindered()
        if free:
            self.look(free)

    def attended(self) -> frozenset[str]:
        """Sessions that the host sees to now."""
        try:
            return frozenset(
                node.name for node in self.world.host.sessions.nodes() if node.state == "running"
            )
        except WorldError:
            return frozenset()


# -- what is asked then ----------------------------------------------------------


def nobody_waits_for_a_poll(scene: Scene) -> Iterator[str]:
    """What is due is claimed by a runner that is free, or that waits for it in the middle of a turn."""
    for paths in scene.sessions():
        id_ = paths.root.name
        if id_ in scene.resting or id_ in scene.listening:
            acks = _acks(paths)
            for message, tries in _due(paths, scene.now):
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
            for message, tries in _due(paths, scene.now):
                mine = [status for status, attempt in acks.get(message, []) if attempt in {None, tries}]
                if mine not in ([], ["processing"]):
                    yield f"{id_}: {message} is {mine[0]}, and that is not settled"


def replies_are_tried_at_once(scene: Scene) -> Iterator[str]:
    """Where nothing was tried, and nothing is under way, nothing is to be delivered."""
    sql = """
        SELECT count(*), sum(status = 'pending' AND attempts = 0 AND error IS NULL)
        FROM deliveries WHERE status <> 'final'
        """
    for paths in scene.sessions():
        [(left, untried)] = rows(paths.inbound_db, sql)
        if paths.root.name in scene.attended and left and left == untried:
            yield f"{paths.root.name}: {left} replies wait for nothing"


def _due(paths: SessionPaths, now: str) -> list[tuple[str, int]]:
    """What should be somebody's work by now, with its number of tries."""
    since = to_text(datetime.fromisoformat(now) - timedelta(seconds=PROMPT_S))
    sql = """
        SELECT id, coalesce(tries, 0) FROM messages_in
        WHERE status = 'pending' AND trigger AND NOT on_wake AND coalesce(process_after, '') <= :since
        """
    return [(str(id_), int(tries)) for id_, tries in rows(paths.inbound_db, sql, since=since)]


def _acks(paths: SessionPaths) -> dict[str, list[tuple[str, int | None]]]:
    found = rows(paths.outbound_db, "SELECT message_id, status, attempt FROM processing_ack")
    return {str(id_): [(str(status), attempt)] for id_, status, attempt in found}


QUIET_CHECKS: tuple[Check, ...] = (
    nobody_waits_for_a_poll,
    replies_are_seen_at_once,
    replies_are_tried_at_once,
    projections_are_true,
)
"""Asked of each session that has had time enough."""
