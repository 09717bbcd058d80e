"""Checks of access: whose messages are stored, and which messages wake an agent."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from nanoclaw.records import InboundEvent
from nanoclaw.simulation.network import Accepted
from nanoclaw.simulation.rights import admits
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import rows


def unknown_senders_are_not_heard(snapshot: Snapshot) -> Iterator[str]:
    """No session has text of a user who was never admitted. It waits or is dropped."""
    for paths in snapshot.sessions():
        agent = paths.root.parent.name
        for chat, sender in rows(paths.inbound_db, _SPEAKERS):
            if not snapshot.ever_admitted(chat, sender, agent):
                yield f"{paths.root.name}: {sender} was never admitted to {chat}, but is heard there"
    for one in snapshot.confirmed:
        chat, sender = one.event.address.platform_id, one.event.message.sender_id
        if one.routed.session_ids and not any(_admits(snapshot, one)):
            went = one.routed.session_ids
            yield f"{one.event.event_id} of {sender} in {chat}, who had no right, went to {went}"
        if not (one.routed.session_ids or one.routed.held or one.routed.dropped):
            yield f"{one.event.event_id} of {sender} in {chat} is nowhere"


MANY_DROPS = 4
"""So many drops of one sender that a crash, which forgets those of a second, cannot forget all."""


def drops_are_counted(snapshot: Snapshot) -> Iterator[str]:
    """A sender whose messages were dropped is in `unregistered_senders`."""
    noted = set(rows(snapshot.data / "v2.db", "SELECT platform_id, user_id FROM unregistered_senders"))
    drops = Counter(
        (one.event.address.platform_id, one.event.message.sender_id)
        for one in snapshot.confirmed
        if one.routed.dropped is not None
    )
    for (chat, sender), n in drops.items():
        if n >= MANY_DROPS and (chat, sender) not in noted and not snapshot.ever_admitted(chat, sender):
            yield f"{n} messages of {sender} in {chat} were dropped, and none is counted"


_SPEAKERS = """
    SELECT DISTINCT platform_id, json_extract(content, '$.senderId') FROM messages_in
    WHERE kind = 'chat' AND channel_type <> 'agent' AND json_extract(content, '$.senderId') IS NOT NULL
    """


def admitted_users_are_heard(snapshot: Snapshot) -> Iterator[str]:
    """Each message of a user who was admitted all the time is routed to a session."""
    for one in snapshot.confirmed:
        if not one.routed.session_ids and all(_admits(snapshot, one)):
            event = one.event
            where = f"{event.message.sender_id} in {event.address.platform_id}"
            yield f"{event.event_id} of {where} was dropped: {one.routed.dropped}"


def _admits(snapshot: Snapshot, one: Accepted) -> Iterator[bool]:
    """Yield for all rights that held while an event was offered whether they admit its sender."""
    event = one.event
    for rights in snapshot.rights.between(one.since, one.at):
        yield admits(rights, event.address.platform_id, event.message.sender_id)


SOME_TIME_S = 120.0
"""Seconds that a delivery may take after the host has checked its destination."""


def messages_reach_destinations_only(snapshot: Snapshot) -> Iterator[str]:
    """A message of an agent arrives in the chat of its session, or in a destination of that agent."""
    arrived = {
        one.message_out_id: (one, at) for one, at in zip(snapshot.arrived, snapshot.kept_at, strict=True)
    }
    for paths in snapshot.sessions():
        agent, central = paths.root.parent.name, snapshot.data / "v2.db"
        own = {chat for (chat,) in rows(central, _OWN_CHAT, id=paths.root.name)}
        sql = (
            "SELECT id FROM messages_out WHERE kind <> 'system' AND id IN (SELECT value FROM json_each(:ids))"
        )
        for (id_,) in rows(paths.outbound_db, sql, ids=json.dumps(list(arrived))):
            one, at = arrived[id_]
            chat, since = one.address.platform_id, snapshot.rights.between(at - SOME_TIME_S, at)
            if chat not in own and not any((agent, chat) in rights.destinations for rights in since):
                yield f"{paths.root.name}: {id_} reached {chat}, which is no destination of {agent}"


_OWN_CHAT = """
    SELECT platform_id FROM sessions
    JOIN messaging_groups ON messaging_groups.id = messaging_group_id WHERE sessions.id = :id
    """


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
