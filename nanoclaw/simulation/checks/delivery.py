"""Checks of delivery: each message arrives as its outbound row says, and as often as the ledger says.

They read the files directly, without the host's own readers.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nanoclaw.channels.cards import MARKS
from nanoclaw.records import (
    DONE,
    Address,
    CardEditContent,
    EditContent,
    Outgoing,
    OutgoingContent,
    QuestionContent,
    ReactionContent,
    SessionPaths,
    TextContent,
)
from nanoclaw.records.content import storable
from nanoclaw.simulation.snapshot import NOTES, Snapshot
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.testing.invariants import (
    rows,
)

Words = tuple[object, ...]
"""The kind, the text, the message that it is about, and its files or options."""


def replies_arrive_as_they_are(snapshot: Snapshot) -> Iterator[str]:
    """A message arrives with the address, the content and the target that its row names."""
    arrived = _by_row(snapshot)
    for paths in snapshot.sessions():
        default, known = _own_chat(snapshot, paths), dict(rows(paths.inbound_db, _KNOWN))
        for id_, channel, platform, thread, content, answers in _said(paths, arrived):
            address = Address(channel, platform, thread or None) if channel and platform else default
            said = _words_of(json.loads(content))
            for one in arrived[id_]:
                if one.address != address:
                    yield f"{paths.root.name}: {id_} is addressed to {address}, but arrived in {one.address}"
                if (heard := _heard(one.content)) != storable(said):
                    yield f"{paths.root.name}: {id_} contains {said}, but arrived as {heard}"
                if known.get(answers) not in {None, one.in_reply_to}:
                    yield f"{paths.root.name}: {id_} answers {known[answers]}, not {one.in_reply_to}"


def answers_arrive_where_was_asked(snapshot: Snapshot) -> Iterator[str]:
    """An answer, or a notice of the host about a message, arrives in the chat and thread of that message."""
    arrived = _by_row(snapshot)
    for paths in snapshot.sessions():
        asked = {id_: Address(*where) for id_, *where in rows(paths.inbound_db, _PLACES)}
        told = [(f"{NOTICE}{about}{one}", one) for about in TOLD for one in asked]
        for id_, answers in [*rows(paths.outbound_db, _ANSWERS), *told]:
            for one in arrived.get(id_, ()):
                if answers in asked and one.address != asked[answers]:
                    where = f"{asked[answers]}, but its answer {id_} arrived in {one.address}"
                    yield f"{paths.root.name}: {answers} was said in {where}"


_BY_NETWORKS = """
    SELECT message_out_id, delivered.platform_message_id
    FROM delivered LEFT JOIN deliveries USING (message_out_id) WHERE hops IS NULL
    """
"""What is delivered, except to other agents."""


def receipts_come_from_the_network(snapshot: Snapshot) -> Iterator[str]:
    """The ledger has only ids that the network gave to that message."""
    sql = f"{_BY_NETWORKS} AND delivered.platform_message_id IS NOT NULL"
    for paths in snapshot.sessions():
        for key, receipt in rows(paths.inbound_db, sql):
            if receipt not in snapshot.receipts.get(key, ()):
                given = ", ".join(snapshot.receipts.get(key, ())) or "none"
                yield f"{paths.root.name}: {key} is {receipt} in the ledger, but the network gave {given}"


TOLD = ("", "delayed-", "stopped-")
"""The prefixes of notices: a message failed, has to wait, or gets no more answers."""
_PLACES = """
    SELECT id, channel_type, platform_id, thread_id FROM messages_in
    WHERE kind IN ('chat', 'task') AND platform_id <> ''
    """
_ANSWERS = "SELECT id, in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL"
_SAID = """
    SELECT id, channel_type, platform_id, thread_id, content, in_reply_to FROM messages_out
    WHERE kind <> 'system' AND id IN (SELECT value FROM json_each(:ids))
    """
_OWN_CHAT = """
    SELECT channel_type, platform_id, thread_id FROM sessions
    JOIN messaging_groups ON messaging_groups.id = messaging_group_id WHERE sessions.id = :id
    """
_KNOWN = "SELECT id, json_extract(content, '$.id') FROM messages_in WHERE kind = 'chat'"
"""The network's ids of users' messages."""


def _by_row(snapshot: Snapshot) -> Mapping[str, Sequence[Outgoing]]:
    """Return the messages that arrived, by the id of their row. A recurring row has several."""
    found = defaultdict[str, list[Outgoing]](list)
    for one in snapshot.arrived:
        found[one.message_out_id.partition("@")[0]].append(one)
    return found


def _said(paths: SessionPaths, arrived: Mapping[str, object]) -> list[tuple[Any, ...]]:
    return rows(paths.outbound_db, _SAID, ids=json.dumps(list(arrived)))


def _own_chat(snapshot: Snapshot, paths: SessionPaths) -> Address | None:
    found = rows(snapshot.data / "v2.db", _OWN_CHAT, id=paths.root.name)
    return Address(*found[0]) if found else None


def _words_of(content: Mapping[str, Any]) -> Words:
    """Return the words of a row's content."""
    text = content.get("markdown") or content.get("text") or ""
    match content.get("operation") or content.get("type"):
        case "edit":
            return "edit", text, content["messageId"], ()
        case "reaction":
            return "reaction", content["emoji"], content["messageId"], ()
        case "ask_question":
            labels = (each if isinstance(each, str) else each["label"] for each in content["options"])
            return "question", content["question"], content["questionId"], tuple(labels)
        case "card":
            return "card", content["fallbackText"], None, ()
        case _:
            return "text", text, None, tuple(content.get("files", ()))


def _heard(content: OutgoingContent) -> Words:
    """Return the words of a message that arrived."""
    match content:
        case TextContent():
            return "text", content.text, None, content.files
        case EditContent():
            return "edit", content.text, content.message_id, ()
        case ReactionContent():
            return "reaction", content.emoji, content.message_id, ()
        case CardEditContent():
            return "card edit", content.question.text, content.message_id, ()
        case QuestionContent():
            shown = (option for option in content.options if option.value != DONE)
            labels = tuple(option.label.removeprefix(MARKS[0]) for option in shown)
            return "question", content.text, content.question_id, labels
        case _:
            return "card", content.fallback_text, None, ()


def delivered_messages_have_arrived(snapshot: Snapshot) -> Iterator[str]:
    """The network has every message that the ledger records as delivered."""
    sql = f"{_BY_NETWORKS} AND delivered.status = 'delivered'"
    for paths in snapshot.sessions():
        said = {
            id_ for (id_,) in rows(paths.outbound_db, "SELECT id FROM messages_out WHERE kind <> 'system'")
        }
        for key, receipt in rows(paths.inbound_db, sql):
            for_somebody = receipt is not None or key.startswith(NOTICE) or key.partition("@")[0] in said
            if for_somebody and not snapshot.receipts.get(key):
                yield f"{paths.root.name}: {key} is delivered, but the network does not have it"


def duplicates_are_recorded_as_doubts(snapshot: Snapshot) -> Iterator[str]:
    """A message arrives once, or once more for each doubt in the ledger if the network cannot deduplicate."""
    doubts = Counter[str]()
    for paths in snapshot.sessions():
        doubts.update(dict(rows(paths.inbound_db, "SELECT message_out_id, doubts FROM deliveries")))
    for key, ids in snapshot.receipts.items():
        allowed = 1 + doubts[key] if snapshot.repeat == "again" else 1
        if len(ids) > allowed and key in doubts:
            yield f"{key} arrived {len(ids)} times, but the ledger accounts for {allowed}"


def files_arrive(snapshot: Snapshot) -> Iterator[str]:
    """A message arrives with its files, byte for byte."""
    for one in snapshot.arrived:
        if isinstance(one.content, TextContent) and one.content.files:
            there = tuple(file.data for file in one.files)
            if there != (NOTES.encode(),) * len(one.content.files):
                yield f"{one.message_out_id} arrived with {there} for {one.content.files}"


def channels_are_asked_after_the_ledger(snapshot: Snapshot) -> Iterator[str]:
    """Each request to a channel is recorded as an attempt before."""
    for paths in snapshot.sessions():
        for key, attempts in rows(paths.inbound_db, "SELECT message_out_id, attempts FROM deliveries"):
            if snapshot.times_asked.get(key, 0) > attempts:
                asked = snapshot.times_asked[key]
                yield f"{key} was sent {asked} times, but {attempts} attempts are recorded"


_SETTLED = """
    SELECT json_extract(content, '$.id') AS event, id, status FROM messages_in
    WHERE kind = 'chat' GROUP BY event HAVING count(*) = 1
    """
"""Users' messages without edits, by the network's id."""
_UNDER_WAY = "SELECT message_out_id FROM deliveries WHERE status <> 'final'"
_REPLIES = "SELECT id, in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL"
_BY_LEDGER = """
    SELECT id, in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL
    UNION SELECT 'bad-' || seq, in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL
    """
"""Replies by each id that the ledger may have for them."""
_LOST = "SELECT message_out_id FROM delivered WHERE status = 'failed'"


def outcomes_are_told_as_they_are(snapshot: Snapshot) -> Iterator[str]:
    """`settled` names a message's real outcome, and comes after its answer has arrived.

    A completed message whose answer was lost has failed for its user.
    """
    for paths in snapshot.sessions() if snapshot.settled else ():
        under_way = {id_ for (id_,) in rows(paths.inbound_db, _UNDER_WAY)}
        answers = {f"{NOTICE}{id_}": id_ for (id_,) in rows(paths.inbound_db, "SELECT id FROM messages_in")}
        answers |= dict(rows(paths.outbound_db, _REPLIES))
        early = {answers[id_] for id_ in under_way & answers.keys()}
        by_ledger = dict(rows(paths.outbound_db, _BY_LEDGER))
        unanswered = {by_ledger.get(id_) for (id_,) in rows(paths.inbound_db, _LOST)}
        for event, id_, status in rows(paths.inbound_db, _SETTLED):
            told = snapshot.settled.get(event)
            if told not in {None, status} and not (told == "failed" and id_ in unanswered):
                yield f"{paths.root.name}: {event} is {status}, but its network was told {told}"
            if told is not None and id_ in early:
                yield f"{paths.root.name}: {event} was reported as {told} before its answer was final"
