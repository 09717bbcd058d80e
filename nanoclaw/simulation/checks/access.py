"""Checks of access: whose messages are stored, and which messages wake an agent."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator

from nanoclaw.records import InboundEvent
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import rows


def unknown_senders_are_not_heard(snapshot: Snapshot) -> Iterator[str]:
    """A message of a user who is not admitted is in no session, and was dropped with a reason.

    Counts of the last second may not be on disk yet, or lost in a crash.
    """
    sql = """
        SELECT platform_id, json_extract(content, '$.senderId'), id FROM messages_in
        WHERE kind = 'chat' AND platform_id IN (SELECT value FROM json_each(:closed))
        """
    closed = json.dumps(list(snapshot.admitted))
    for paths in snapshot.sessions() if snapshot.admitted else ():
        for chat, sender, id_ in rows(paths.inbound_db, sql, closed=closed):
            if sender not in snapshot.admitted[chat]:
                yield f"{paths.root.name}: {sender} is not admitted to {chat}, but {id_} is stored"
    for one in snapshot.confirmed:
        if not _let_in(snapshot, one.event) and (one.routed.session_ids or one.routed.dropped is None):
            became = f"went to {one.routed.session_ids}" if one.routed.session_ids else "has no reason"
            where = f"{one.event.message.sender_id} in {one.event.address.platform_id}"
            yield f"{one.event.event_id} of the unregistered sender {where} {became}"


def admitted_users_are_heard(snapshot: Snapshot) -> Iterator[str]:
    """Each message of an admitted user is routed to a session."""
    for one in snapshot.confirmed:
        if not one.routed.session_ids and _let_in(snapshot, one.event):
            event = one.event
            where = f"{event.message.sender_id} in {event.address.platform_id}"
            yield f"{event.event_id} of {where} was dropped: {one.routed.dropped}"


def only_mentions_wake_the_agent(snapshot: Snapshot) -> Iterator[str]:
    """A message wakes the agent if, and only if, the wiring's trigger rules match it."""
    for paths in snapshot.sessions():
        wakes = dict(rows(paths.inbound_db, "SELECT id, trigger FROM messages_in WHERE kind = 'chat'"))
        for event in snapshot.events(paths):
            wanted = event.message.is_mention or _called(snapshot, event)
            if event.message_id in wakes and bool(wakes[event.message_id]) != wanted:
                what = "does not wake the agent" if wanted else "wakes the agent without a mention"
                yield f"{paths.root.name}: {event.event_id} ({event.message.text}) {what}"


def _called(snapshot: Snapshot, event: InboundEvent) -> bool:
    chat = event.address.platform_id
    return chat not in snapshot.mention_only and bool(
        re.search(snapshot.patterns.get(chat, ""), event.message.text)
    )


def context_has_no_turn_of_its_own(snapshot: Snapshot) -> Iterator[str]:
    """No turn is about context alone."""
    for paths in snapshot.sessions():
        context = {id_ for (id_,) in rows(paths.inbound_db, "SELECT id FROM messages_in WHERE NOT trigger")}
        turns = defaultdict[str, set[str]](set)
        for turn, message in rows(paths.outbound_db, _TURNS):
            turns[turn].add(message)
        for turn, about in turns.items():
            if about <= context:
                alone = ", ".join(sorted(about))
                yield f"{paths.root.name}: the turn {turn} is about {alone} only, which is context"


_TURNS = """
    SELECT turn_id, message_id FROM processing_ack
    WHERE turn_id IN (SELECT turn_id FROM messages_out WHERE in_reply_to IS NOT NULL)
    UNION
    SELECT turn_id, in_reply_to FROM messages_out WHERE turn_id IS NOT NULL AND in_reply_to IS NOT NULL
    """
"""The messages of each turn that sent an answer."""


def _let_in(snapshot: Snapshot, event: InboundEvent) -> bool:
    admitted = snapshot.admitted.get(event.address.platform_id)
    return admitted is None or event.message.sender_id in admitted
