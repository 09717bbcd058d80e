"""The snapshot of a simulated workload that its checks read.

A check is `def name(snapshot) -> Iterable[str]`. `run_workload(..., invariants=...)` takes further checks.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import apsw
from attrs import field, frozen

from agent_runner.records import Address as RunnerAddress
from nanoclaw.channels.protocol import Repeat
from nanoclaw.records import Clicked, InboundEvent, Outgoing, Routed, SessionPaths
from nanoclaw.simulation.network import Accepted, OtherAccepted
from nanoclaw.simulation.rights import RightsLog, admits
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
    """The state of a simulated workload, with the sessions in `paths`."""

    confirmed: Sequence[Accepted] = ()
    """All events that the host confirmed, in order."""
    clicked: Sequence[tuple[Clicked, Routed]] = ()
    """The clicks, each with its routing."""
    others: Sequence[OtherAccepted] = ()
    """The deletions, reactions and webhooks that the host confirmed, in order."""
    max_hops: int = 10
    """The most hops of a chain of messages between agents."""
    times_asked: Mapping[str, int] = field(factory=dict)
    """The number of requests to deliver each message, by its key."""
    arrived: Sequence[Outgoing] = ()
    """All messages that the network has."""
    receipts: Mapping[str, Sequence[str]] = field(factory=dict)
    """The network's ids of each message, one for each copy, by the message's key."""
    turns: Sequence[tuple[tuple[int, str, int], ...]] = ()
    """For each turn, its messages: number, id, tries."""
    heard: Mapping[str, tuple[object, object]] = field(factory=dict)
    """By message id, the text and sender that an agent received."""
    homes: Mapping[str, RunnerAddress] = field(factory=dict)
    """By turn, the address of the first message that has one."""
    pauses: Sequence[tuple[str, int, float]] = ()
    """For each retry: the message, the number of the try, and seconds since the previous try ended."""
    retry_base_s: float = 0.0
    max_tries: int = 5
    max_attempts: int = 6
    """The number of attempts after which a delivery fails."""
    settled: Mapping[str, str] = field(factory=dict)
    """The outcomes that the network was told, by its own ids."""
    spent: Mapping[str, int] = field(factory=dict)
    """By message, the maximum number of tries that failed turns and deaths used up."""
    unreckoned: Container[str] = ()
    """Sessions whose `spent` is unknown."""
    repeat: Repeat = "idempotent"
    paths: tuple[SessionPaths, ...] = ()
    """The sessions to check."""
    spoilt: Container[str] = ()
    """Sessions with damaged files."""
    awake: Container[str] = ()
    """Sessions with a living runner that a host has started or adopted."""
    resting: Container[str] = ()
    """Sessions with an idle runner that no fault hinders."""
    listening: Container[str] = ()
    """Sessions whose runner waits for follow-ups in a turn and that no fault hinders."""
    attended: Container[str] = ()
    """Sessions with a running actor in the host."""
    stuck: Iterable[str] = ()
    """Attended sessions whose runner has been stuck in a turn for `STUCK_S`."""
    wronged: Sequence[str] = ()
    """Sessions whose runner was stopped without a reason."""
    idle: Container[str] = ()
    """Sessions whose runner has been idle for longer than it may."""
    left_alone: Container[str] = ()
    """Sessions without a runner and without an event for `STARTED_S`."""
    unattended: Container[str] = ()
    """Sessions without an actor while the host runs."""
    shaken: bool = False
    """True if the disk failed so recently that projections may not have been written again."""
    modelled: Container[str] = ()
    """Sessions whose agent asks the scripted model."""
    given_up: Container[str] = ()
    """Messages whose turn was given up for good, so that their chat was told why."""
    answered: int = 0
    """The number of answers of the scripted model that came to their end."""
    unrecorded: int = 0
    """The most of them that hosts did not record before they died."""
    now: str = ""
    """The date."""
    zone: str = "UTC"
    """The workload's time zone."""
    rights: RightsLog = field(factory=lambda: RightsLog(Path(), float))
    """The rights over time."""
    pressed: Sequence[tuple[Clicked, float]] = ()
    """All presses of buttons of approvals, with the times at which they began."""
    kept_at: Sequence[float] = ()
    """The times at which the messages in `arrived` came."""
    agents: int = 0
    """The number of agents in the beginning."""
    mention_only: Container[str] = ()
    """Chats in which only a mention wakes the agent."""
    patterns: Mapping[str, str] = field(factory=dict)
    """The trigger patterns of chats that have one."""

    def ever_admitted(self, chat: str, user: str | None, agent: str | None = None) -> bool:
        """Return whether a user could ever talk to an agent in a chat; without `agent`, to any there."""
        return any(admits(rights, chat, user, agent) for rights in self.rights.since(0.0))

    def sessions(self) -> Sequence[SessionPaths]:
        """Return the sessions to check."""
        return self.paths

    def events(self, paths: SessionPaths) -> list[InboundEvent]:
        """Return the events confirmed for a session, each once, in the order in which the host took them.

        An event that was held is in a session only when it is offered again. One that was dropped, and
        offered again when its sender was let in, was taken only then.
        """
        own = {
            _key(one.event): one.event for one in self.confirmed if paths.root.name in one.routed.session_ids
        }
        taken = (one for one in self.confirmed if one.routed.dropped is None)
        return [own[key] for key in dict.fromkeys(_key(one.event) for one in taken) if key in own]


def _key(event: InboundEvent) -> tuple[object, ...]:
    return event.address, event.event_id, event.version


Check = Callable[[Snapshot], Iterable[str]]


def readable(
    data: Path, spoilt: Container[str], only: Container[str] | None = None
) -> Iterator[SessionPaths]:
    """Yield the sessions that can be read: not damaged, complete, and without a commit in progress."""
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

    A journal that begins with a zero byte was not synced before its writer died, so nothing was written yet.
    """
    journal = Path(f"{database}-journal")
    return journal.exists() and journal.read_bytes()[:1] not in {b"", b"\0"}


@cache
def _newest(kind: str) -> int:
    return max(int(file.name.partition("-")[0]) for file in (schema_dir() / kind).glob("*.sql"))


def found(snapshot: Snapshot, checks: Iterable[Check]) -> list[tuple[str, str]]:
    """Return the name and the sentence of each violation."""
    return [(name_of(check), sentence) for check in checks for sentence in sentences(check, snapshot)]
