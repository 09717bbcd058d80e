"""What the checks of a simulated workload look at, and what they ask besides those of every home.

A check is `def name(snapshot) -> Iterable[str]`; others are given to `run_workload(..., invariants=...)`.
"""

import json
import shutil
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path

import apsw
from attrs import field, frozen

from agent_runner.records import Address as RunnerAddress
from nanoclaw.channels.protocol import Repeat
from nanoclaw.content import storable
from nanoclaw.records import Address, Clicked, InboundEvent, Outgoing, Routed, SessionPaths, TextContent
from nanoclaw.resources import schema_dir
from nanoclaw.simulation.network import ROUNDING_S, Accepted
from nanoclaw.store.deliveries import NOTICE
from nanoclaw.testing.invariants import (
    ALWAYS,
    AT_REST,
    Evidence,
    accepted_messages_are_stored,
    attempts_are_recorded_before_the_channel_is_asked,
    databases_are_intact,
    name_of,
    replies_keep_their_order,
    rows,
    sentences,
)

LATE_S = 1800.0
INBOX = "in/inbox/"
NOTES = "milk, bread\n"
"""What an agent of a workload has in its file."""


@frozen
class Snapshot(Evidence):
    """The evidence of a simulated workload. Of the sessions, those in `paths`."""

    confirmed: Sequence[Accepted] = ()
    """All that the host confirmed, in that order."""
    clicked: Sequence[tuple[Clicked, Routed]] = ()
    """The buttons that were pressed, and what became of it."""
    times_asked: Mapping[str, int] = field(factory=dict)
    """How often its channel was asked to deliver a message, by its key."""
    arrived: Sequence[Outgoing] = ()
    """All that the network has."""
    receipts: Mapping[str, Sequence[str]] = field(factory=dict)
    """By what ids it knows each message, one for each time that it has it; by the message's key."""
    turns: Sequence[tuple[tuple[int, str, int], ...]] = ()
    """Of the messages of each turn: number, id, tries."""
    heard: Mapping[str, tuple[object, object]] = field(factory=dict)
    """Text and sender of each message that an agent has had, by its id."""
    homes: Mapping[str, RunnerAddress] = field(factory=dict)
    """By turn, the chat of its first message that has one."""
    hasty: Sequence[tuple[str, float, float]] = ()
    """What was sent again before its network wanted: key, seconds that it had asked for and that it got."""
    pauses: Sequence[tuple[str, int, float]] = ()
    """Of each try of a message but its first: the message, its number, seconds since the last one ended."""
    retry_base_s: float = 0.0
    max_tries: int = 5
    max_attempts: int = 6
    """After so many a delivery is given up."""
    settled: Mapping[str, str] = field(factory=dict)
    """What the network was told of messages, by its own ids: what became of them."""
    spent: Mapping[str, int] = field(factory=dict)
    """How many tries of each message were spent, at most, as seen from outside."""
    unreckoned: Container[str] = ()
    """Sessions of which that cannot be said."""
    repeat: Repeat = "idempotent"
    paths: tuple[SessionPaths, ...] = ()
    """Of the sessions to look at."""
    spoilt: Container[str] = ()
    """Sessions with damaged files."""
    awake: Container[str] = ()
    """Sessions with a living runner that a host has started or adopted."""
    resting: Container[str] = ()
    """Those whose runner is in no turn, and not hindered."""
    listening: Container[str] = ()
    """Those whose runner is in a turn that waits for follow-ups, and not hindered."""
    attended: Container[str] = ()
    """Those that the host sees to."""
    stuck: Iterable[str] = ()
    """Those of them whose runner stands still in the middle of a turn, and has for long."""
    wronged: Sequence[str] = ()
    """Those whose runner was stopped, and nothing was wrong with it."""
    idle: Container[str] = ()
    """Those whose runner has nothing to do, for longer than it may."""
    left_alone: Container[str] = ()
    """Those that have no runner, and in which nothing has happened for long."""
    unattended: Container[str] = ()
    """Those that the living host does not see to: it had no reason, or does not know of one."""
    shaken: bool = False
    """Whether the disk has failed so lately that projections may wait for another try."""
    now: str = ""
    """The date."""
    zone: str = "UTC"
    """Of the workload."""
    doors: Mapping[str, Container[str]] = field(factory=dict)
    """Chats in which not everybody is let in, by the network's ids, and the ids of those who are."""
    mention_only: Container[str] = ()
    """Chats in which the agent is to be mentioned."""
    patterns: Mapping[str, str] = field(factory=dict)
    """Of chats in which certain words will do, too."""

    def sessions(self) -> Sequence[SessionPaths]:
        """Those to look at."""
        return self.paths

    def events(self, paths: SessionPaths) -> list[InboundEvent]:
        """What was confirmed for a session, each once, in the order of the first confirmations."""
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
    """Whether its journal has to be rolled back, by SQLite's rule.

    One that begins with a zero was not synced when its writer died: nothing was written yet, nobody minds it.
    """
    journal = Path(f"{database}-journal")
    return journal.exists() and journal.read_bytes()[:1] not in {b"", b"\0"}


@cache
def _newest(kind: str) -> int:
    return max(int(file.name.partition("-")[0]) for file in (schema_dir() / kind).glob("*.sql"))


def accepted_messages_are_kept(snapshot: Snapshot) -> Iterator[str]:
    """What was confirmed is in the session it was confirmed for, or parked for that."""
    parked = defaultdict[str, set[str]](set)
    for session_id, event in rows(snapshot.data / "v2.db", "SELECT session_id, event FROM parked_events"):
        parked[session_id].add(_event_id(event))
    for paths in snapshot.sessions():
        sql = "SELECT id, json_extract(content, '$.text') FROM messages_in WHERE kind = 'chat'"
        kept = set(rows(paths.inbound_db, sql))
        for event in snapshot.events(paths):
            wanted = (event.message_id, storable(event.message.text))
            if wanted not in kept and event.event_id not in parked[paths.root.name]:
                yield f"{paths.root.name}: {event.event_id} ({event.message.text}) was confirmed and is gone"


_ANSWERS = """
    SELECT json_extract(content, '$.questionId'), json_extract(content, '$.selectedOption')
    FROM messages_in WHERE kind = 'system' AND json_extract(content, '$.type') = 'question_response'
"""


def questions_have_one_answer(snapshot: Snapshot) -> Iterator[str]:
    """What counted is what the session that asked has for its answer, or will have; and it has no other."""
    parked = [
        json.loads(event) for (event,) in rows(snapshot.data / "v2.db", "SELECT event FROM parked_events")
    ]
    waiting = {found["question_id"]: found["value"] for found in parked if "question_id" in found}
    for paths in snapshot.sessions():
        answers = defaultdict[str, list[str]](list)
        for question, value in rows(paths.inbound_db, _ANSWERS):
            answers[question].append(value)
        asked = {id_ for (id_,) in rows(paths.inbound_db, "SELECT message_out_id FROM deliveries")}
        known = [one for one in snapshot.clicked if not _is_strangers(snapshot, one[0])]
        for click, routed in (one for one in known if one[0].question_id in asked):
            given = answers[click.question_id] or [waiting.get(click.question_id, "nothing")]
            if not _fits(click, routed, given):
                became = routed.dropped or click.value
                yield f"{paths.root.name}: {click.event_id} was {became}, it has {given}"


def _fits(click: Clicked, routed: Routed, given: Sequence[str]) -> bool:
    return given == [click.value] if routed.dropped is None else len(given) == 1 and given != ["nothing"]


def _event_id(event: str) -> str:
    found = json.loads(event)
    return str(found.get("event_id") or found.get("event", {}).get("event_id"))


def users_are_heard_in_order(snapshot: Snapshot) -> Iterator[str]:
    """What one person said in one place, one thing after the other, has numbers in that order."""
    for paths in snapshot.sessions():
        numbers = dict(rows(paths.inbound_db, "SELECT id, seq FROM messages_in WHERE kind = 'chat'"))
        spoken = defaultdict[tuple[str, Address], list[InboundEvent]](list)
        for event in snapshot.events(paths):
            if event.message_id in numbers:
                spoken[event.message.sender_id, event.address].append(event)
        for one, two in (pair for events in spoken.values() for pair in pairwise(events)):
            if numbers[one.message_id] >= numbers[two.message_id]:
                yield f"{paths.root.name}: {two.event_id} came before {one.event_id}"


def what_is_delivered_has_arrived(snapshot: Snapshot) -> Iterator[str]:
    """Each message for a chat that the ledger calls delivered is at the network."""
    sql = "SELECT message_out_id, platform_message_id FROM delivered WHERE status = 'delivered'"
    for paths in snapshot.sessions():
        said = {
            id_ for (id_,) in rows(paths.outbound_db, "SELECT id FROM messages_out WHERE kind <> 'system'")
        }
        for key, receipt in rows(paths.inbound_db, sql):
            for_somebody = receipt is not None or key.startswith(NOTICE) or key.partition("@")[0] in said
            if for_somebody and not snapshot.receipts.get(key):
                yield f"{paths.root.name}: {key} is delivered, and the network does not have it"


def nothing_arrives_twice_unknown(snapshot: Snapshot) -> Iterator[str]:
    """A network that knows its messages has one of each; others one more for each doubt in the ledger."""
    doubts = Counter[str]()
    for paths in snapshot.sessions():
        doubts.update(dict(rows(paths.inbound_db, "SELECT message_out_id, doubts FROM deliveries")))
    for key, ids in snapshot.receipts.items():
        allowed = 1 + doubts[key] if snapshot.repeat == "again" else 1
        if len(ids) > allowed and key in doubts:
            yield f"{key} arrived {len(ids)} times, of which {allowed} are accounted for"


def files_arrive(snapshot: Snapshot) -> Iterator[str]:
    """What is said to have files has them, and they are what the agent has."""
    for one in snapshot.arrived:
        if isinstance(one.content, TextContent) and one.content.files:
            there = tuple(file.data for file in one.files)
            if there != (NOTES.encode(),) * len(one.content.files):
                yield f"{one.message_out_id} arrived with {there} for {one.content.files}"


def files_are_kept(snapshot: Snapshot) -> Iterator[str]:
    """What came with a message is in the session, where its row says."""
    sql = """
        SELECT json_extract(each.value, '$.localPath')
        FROM messages_in, json_each(content, '$.attachments') AS each WHERE messages_in.id = :id
        """
    for paths in snapshot.sessions():
        for event in snapshot.events(paths):
            sent = [b64decode(each.data or "") for each in event.message.attachments]
            told = [path for (path,) in rows(paths.inbound_db, sql, id=event.message_id)] if sent else []
            kept = [paths.inbox / str(path).removeprefix(INBOX) for path in told]
            if [file.read_bytes() for file in kept if file.is_file()] != sent:
                yield f"{paths.root.name}: files of {event.event_id} are not at {told}"


def retries_wait(snapshot: Snapshot) -> Iterator[str]:
    """Each try waits twice as long as the one before."""
    for id_, tries, pause in snapshot.pauses:
        if pause < snapshot.retry_base_s * 2**tries - ROUNDING_S:
            yield f"{id_} was tried again, number {tries}, after {pause:g} s"


def networks_get_the_pause_they_ask_for(snapshot: Snapshot) -> Iterator[str]:
    """What a network refuses for a while is sent again after that, unless that is a doubt in the ledger.

    A session that cannot store an answer crashes, and knows no more than one that was killed before it came.
    """
    hasty = {key: (wanted, got) for key, wanted, got in snapshot.hasty}
    for paths in snapshot.sessions() if hasty else ():
        for key, doubts in rows(paths.inbound_db, "SELECT message_out_id, doubts FROM deliveries"):
            if key in hasty and not doubts:
                wanted, got = hasty[key]
                yield f"{key} was sent again after {got:g} s, and its network had asked for {wanted:g} s"


def turns_are_in_order(snapshot: Snapshot) -> Iterator[str]:
    """An agent hears the messages of a turn in the order of their numbers."""
    for messages in snapshot.turns:
        if list(messages) != sorted(messages):
            yield f"a turn had {', '.join(f'{id_} ({seq})' for seq, id_, _ in messages)}"


def retries_are_alone(snapshot: Snapshot) -> Iterator[str]:
    """What has failed before has a turn of its own: it takes no other message with it."""
    for messages in snapshot.turns:
        if len(messages) > 1 and any(tries for *_, tries in messages):
            yield f"a turn had {', '.join(f'{id_} (try {tries})' for _, id_, tries in messages)}"


def strangers_decide_nothing(snapshot: Snapshot) -> Iterator[str]:
    """Whom the agent does not listen to, it does not ask either: their clicks count for nothing."""
    for click, routed in snapshot.clicked:
        if _is_strangers(snapshot, click) and routed.dropped is None:
            yield f"{click.event_id} of the stranger {click.user_id} counts"


def _is_strangers(snapshot: Snapshot, click: Clicked) -> bool:
    return click.user_id not in snapshot.doors.get(click.address.platform_id, {click.user_id})


def mid_turn_messages_are_sent_once(snapshot: Snapshot) -> Iterator[str]:
    """A turn that is told again is told what it had sent: workloads send each text once."""
    sql = """
        SELECT coalesce(json_extract(content, '$.text'), json_extract(content, '$.question')) AS text,
          count(*) AS n
        FROM messages_out WHERE kind = 'chat' AND in_reply_to IS NULL AND text NOT GLOB '*-every on it'
          AND json_extract(content, '$.operation') IS NULL
        GROUP BY text HAVING n > 1
        """
    for paths in snapshot.sessions():
        for text, n in rows(paths.outbound_db, sql):
            yield f"{paths.root.name}: {text!r} was sent {n} times"


def completed_messages_are_answered(snapshot: Snapshot) -> Iterator[str]:
    """The brain of workloads answers everything it completes."""
    for paths in snapshot.sessions():
        completed = {
            id_
            for (id_,) in rows(
                paths.inbound_db,
                "SELECT id FROM messages_in WHERE status = 'completed' AND kind = 'chat' AND trigger",
            )
        }
        answered = {id_ for (id_,) in rows(paths.outbound_db, "SELECT in_reply_to FROM messages_out")}
        for id_ in sorted(completed - answered):
            yield f"{paths.root.name}: {id_} is completed without an answer"


def failed_messages_are_told(snapshot: Snapshot) -> Iterator[str]:
    """Whoever waits for an answer and gets none is told so; context waits for none."""
    sql = """
        SELECT id FROM messages_in WHERE status = 'failed' AND kind IN ('chat', 'task') AND trigger
          AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_out_id = 'notice-' || id)
        """
    for paths in snapshot.sessions():
        for (id_,) in rows(paths.inbound_db, sql):
            yield f"{paths.root.name}: {id_} has failed and nobody was told"


def due_tasks_have_run(snapshot: Snapshot) -> Iterator[str]:
    """At rest no task is due for long."""
    sql = """
        SELECT id, process_after FROM messages_in WHERE kind = 'task' AND status = 'pending'
          AND unixepoch(process_after) < unixepoch(:now) - :late
        """
    for paths in snapshot.sessions():
        for id_, due in rows(paths.inbound_db, sql, now=snapshot.now, late=LATE_S):
            yield f"{paths.root.name}: {id_} was due at {due}, and now is {snapshot.now}"


def projections_are_true(snapshot: Snapshot) -> Iterator[str]:
    """What a session with a runner is told of its destinations is what the central database says."""
    sql = """
        SELECT local_name, target_type, channel_type, platform_id, iif(target_type = 'agent', target_id, NULL)
        FROM agent_destinations JOIN sessions USING (agent_group_id)
        LEFT JOIN messaging_groups ON target_type = 'channel' AND messaging_groups.id = target_id
        WHERE sessions.id = :id ORDER BY 1
        """
    projected = """
        SELECT name, type, channel_type, platform_id, agent_group_id FROM destinations ORDER BY 1
        """
    for paths in snapshot.sessions():
        true = rows(snapshot.data / "v2.db", sql, id=paths.root.name)
        told = rows(paths.inbound_db, projected)
        heard = (
            paths.root.name in snapshot.awake and paths.root.name in snapshot.attended and not snapshot.shaken
        )
        if heard and told != true:
            yield f"{paths.root.name}: its destinations are {told}, and should be {true}"


def channels_are_asked_after_the_ledger(snapshot: Snapshot) -> Iterator[str]:
    """Of each session: its channel was not asked more often than the attempts that are recorded."""
    for paths in snapshot.sessions():
        for key, attempts in rows(paths.inbound_db, "SELECT message_out_id, attempts FROM deliveries"):
            if snapshot.times_asked.get(key, 0) > attempts:
                asked = snapshot.times_asked[key]
                yield f"{key} was asked for {asked} times, of which {attempts} are recorded"


NOT_AT_STEPS: frozenset[Callable[..., object]] = frozenset(
    {accepted_messages_are_stored, attempts_are_recorded_before_the_channel_is_asked, databases_are_intact}
)
"""They need all sessions, or much time."""


def nothing_waits_behind_a_journal(snapshot: Snapshot) -> Iterator[str]:
    """At rest a session may sleep beside a journal, its runner's or the host's own, if nobody waits for it.

    The host's own is left where its disk failed in a write and in the rollback, too. Nobody reads the file of
    a session that sleeps; whoever has it next rolls the journal back: the next message, or the next host.
    """
    sql = """
        SELECT (SELECT count(*) FROM messages_in WHERE status = 'pending' AND trigger AND kind <> 'task')
          + (SELECT count(*) FROM deliveries WHERE status <> 'final')
        """
    for paths in Evidence(snapshot.data).sessions():
        if paths in snapshot.paths or paths.root.name in snapshot.spoilt:
            continue
        aside = snapshot.data.parent / f"aside-{paths.root.name}.db"  # connections are kept by path
        with _without_journal(paths.inbound_db, aside) as file:
            if waiting := rows(file, sql)[0][0]:
                yield f"{paths.root.name}: {waiting} messages wait behind a journal"


@contextmanager
def _without_journal(database: Path, aside: Path) -> Iterator[Path]:
    """The file to read: where it has a hot journal, a copy in which that is rolled back."""
    if not is_hot(database):
        yield database
        return
    copies = {database: aside, Path(f"{database}-journal"): Path(f"{aside}-journal")}
    try:
        for file, copy in copies.items():
            shutil.copy(file, copy)
        with closing(apsw.Connection(str(aside))) as connection:  # noqa: TID251 -- a copy, which nobody owns
            connection.execute("BEGIN IMMEDIATE; ROLLBACK").fetchall()
        yield aside
    finally:
        for copy in copies.values():
            copy.unlink(missing_ok=True)


def what_all_sessions_keep(snapshot: Snapshot) -> Iterator[str]:
    """What can only be asked of all sessions together, where all can be read."""
    if len(snapshot.paths) == len(Evidence(snapshot.data).sessions()):
        yield from accepted_messages_are_stored(snapshot)
        yield from attempts_are_recorded_before_the_channel_is_asked(snapshot)


STEP_CHECKS: tuple[Check, ...] = (
    *(check for check in ALWAYS if check not in NOT_AT_STEPS),
    channels_are_asked_after_the_ledger,
    accepted_messages_are_kept,
    questions_have_one_answer,
    users_are_heard_in_order,
    replies_keep_their_order,
    what_is_delivered_has_arrived,
    nothing_arrives_twice_unknown,
    mid_turn_messages_are_sent_once,
    failed_messages_are_told,
    retries_wait,
    retries_are_alone,
    turns_are_in_order,
    networks_get_the_pause_they_ask_for,
    strangers_decide_nothing,
)
"""Asked after each step."""
REST_CHECKS: tuple[Check, ...] = (
    databases_are_intact,
    what_all_sessions_keep,
    nothing_waits_behind_a_journal,
    *AT_REST,
    completed_messages_are_answered,
    due_tasks_have_run,
    projections_are_true,
    files_arrive,
    files_are_kept,
)
"""Asked once everything is healed and has come to rest."""


def found(snapshot: Snapshot, checks: Iterable[Check]) -> list[tuple[str, str]]:
    """Name and sentence of each violation."""
    return [(name_of(check), sentence) for check in checks for sentence in sentences(check, snapshot)]
