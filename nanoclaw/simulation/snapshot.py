"""A snapshot: the evidence that checks of a simulated workload look at.

A check is `def name(snapshot) -> Iterable[str]`. `run_workload(..., invariants=...)` takes more of them.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import apsw
from attrs import field, frozen

from agent_runner.records import Address as RunnerAddress
from nanoclaw.channels.protocol import Repeat
from nanoclaw.records import Clicked, InboundEvent, Outgoing, Routed, SessionPaths
from nanoclaw.simulation.network import Accepted
from nanoclaw.system.resources import schema_dir
from nanoclaw.testing.invariants import (
    Evidence,
    name_of,
    rows,
    sentences,
)

NOTES = "milk, bread\n"
"""The content of every agent's file."""


@frozen
class Snapshot(Evidence):
    """The evidence of a simulated workload. Of the sessions, those in `paths`."""

    confirmed: Sequence[Accepted] = ()
    """All events that the host confirmed, in order."""
    clicked: Sequence[tuple[Clicked, Routed]] = ()
    """The buttons that were pressed, and what became of it."""
    times_asked: Mapping[str, int] = field(factory=dict)
    """The number of requests to deliver each message, by its key."""
    arrived: Sequence[Outgoing] = ()
    """All messages that the network has."""
    receipts: Mapping[str, Sequence[str]] = field(factory=dict)
    """The network's ids of each message, one for each copy, by the message's key."""
    turns: Sequence[tuple[tuple[int, str, int], ...]] = ()
    """For each turn, its messages: number, id, tries."""
    heard: Mapping[str, tuple[object, object]] = field(factory=dict)
    """Text and sender of each message that an agent has had, by its id."""
    homes: Mapping[str, RunnerAddress] = field(factory=dict)
    """By turn, the chat of the first message that has one."""
    pauses: Sequence[tuple[str, int, float]] = ()
    """For each retry: the message, its number, seconds since the try before ended."""
    retry_base_s: float = 0.0
    max_tries: int = 5
    max_attempts: int = 6
    """After so many a delivery is given up."""
    settled: Mapping[str, str] = field(factory=dict)
    """The outcomes that the network was told, by its own ids."""
    spent: Mapping[str, int] = field(factory=dict)
    """The most tries of each message that turns and deaths used up."""
    unreckoned: Container[str] = ()
    """Sessions of which that cannot be said."""
    repeat: Repeat = "idempotent"
    paths: tuple[SessionPaths, ...] = ()
    """The sessions to check."""
    spoilt: Container[str] = ()
    """Sessions with damaged files."""
    awake: Container[str] = ()
    """Sessions with a living runner that a host has started or adopted."""
    resting: Container[str] = ()
    """Sessions whose runner is in no turn and not hindered."""
    listening: Container[str] = ()
    """Sessions whose runner waits for follow-ups in a turn and is not hindered."""
    attended: Container[str] = ()
    """Sessions that the host attends to."""
    stuck: Iterable[str] = ()
    """Attended sessions whose runner has been frozen in a turn for long."""
    wronged: Sequence[str] = ()
    """Sessions whose runner was stopped for no reason."""
    idle: Container[str] = ()
    """Sessions whose runner has been idle for longer than it may."""
    left_alone: Container[str] = ()
    """Sessions without a runner in which nothing has happened for long."""
    unattended: Container[str] = ()
    """Sessions that the living host does not attend to."""
    shaken: bool = False
    """True if the disk failed so recently that projections may wait for another try."""
    now: str = ""
    """The date."""
    zone: str = "UTC"
    """The workload's time zone."""
    admitted: Mapping[str, Container[str]] = field(factory=dict)
    """Chats in which not everybody is let in, by the network's ids, and the ids of those who are."""
    mention_only: Container[str] = ()
    """Chats in which the agent is to be mentioned."""
    patterns: Mapping[str, str] = field(factory=dict)
    """The trigger patterns of chats that have one."""

    def sessions(self) -> Sequence[SessionPaths]:
        """Return the sessions to check."""
        return self.paths

    def events(self, paths: SessionPaths) -> list[InboundEvent]:
        """Return the events confirmed for a session, each once, in order."""
        own = [one.event for one in self.confirmed if paths.root.name in one.routed.session_ids]
        return list({(event.address, event.event_id, event.version): event for event in own}.values())


Check = Callable[[Snapshot], Iterable[str]]


def readable(
    data: Path, spoilt: Container[str], only: Container[str] | None = None
) -> Iterator[SessionPaths]:
    """The sessions that can be looked at: not spoilt, complete, and not in the middle of a commit."""
    for paths in Evidence(data).sessions():
        wanted = only is None or paths.root.name in only
        if wanted and paths.root.name not in spoilt and _complete(paths):
            yield paths


def _complete(paths: SessionPaths) -> bool:
    files = {paths.inbound_db: "inbound", paths.outbound_db: "outbound"}
    if any(is_hot(file) or not file.exists() for file in files):
        return False
    try:
        return all(rows(file, "PRAGMA user_version") == [(_newest(kind),)] for file, kind in files.items())
    except apsw.BusyError:
        return False


def is_hot(database: Path) -> bool:
    """Return whether a database has a journal to roll back, by SQLite's rule.

    One that begins with a zero was not synced when its writer died: nothing was written yet, nobody minds it.
    """
    journal = Path(f"{database}-journal")
    return journal.exists() and journal.read_bytes()[:1] not in {b"", b"\0"}


@cache
def _newest(kind: str) -> int:
    return max(int(file.name.partition("-")[0]) for file in (schema_dir() / kind).glob("*.sql"))


def found(snapshot: Snapshot, checks: Iterable[Check]) -> list[tuple[str, str]]:
    """Name and sentence of each violation."""
    return [(name_of(check), sentence) for check in checks for sentence in sentences(check, snapshot)]
