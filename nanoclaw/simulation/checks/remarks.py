"""Checks of edits, deletions, reactions, webhooks, and of the names of chats."""

from collections.abc import Iterator

from nanoclaw.records import Deleted, Reacted, Webhook
from nanoclaw.simulation.network import OtherAccepted
from nanoclaw.simulation.rights import admits
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import rows


def remarks_of_strangers_are_not_heard(snapshot: Snapshot) -> Iterator[str]:
    """A deletion or a reaction of somebody who has no right reaches no session of that agent."""
    for one in snapshot.others:
        event = one.event
        if isinstance(event, Webhook) or event.sender_id is None:
            continue
        for session, agent in _receivers(snapshot, one):
            chat, moments = event.address.platform_id, snapshot.rights.between(one.since, one.at)
            if not any(admits(rights, chat, event.sender_id, agent) for rights in moments):
                what = f"{event.event_id} of {event.sender_id}"
                yield f"{session}: {what} is there, who had no right in {chat}"


def reactions_reach_their_session(snapshot: Snapshot) -> Iterator[str]:
    """Only the session that sent the message stores a reaction to it."""
    key_of = {id_: key for key, ids in snapshot.receipts.items() for id_ in ids}
    reactions = [one.event for one in snapshot.others if isinstance(one.event, Reacted)]
    known = {event.message_id: event.target for event in reactions}
    for paths in snapshot.sessions() if known else ():
        sent = "SELECT 1 FROM deliveries WHERE message_out_id = :key"
        for (id_,) in rows(paths.inbound_db, _REACTIONS):
            key = key_of.get(known.get(id_, ""))
            if key is not None and not rows(paths.inbound_db, sent, key=key):
                yield f"{paths.root.name}: {id_} is a reaction to {key}, which another session sent"


_REACTIONS = "SELECT id FROM messages_in WHERE kind = 'system' AND content GLOB '{\"type\":\"reaction\",*'"


def deletions_reach_the_message(snapshot: Snapshot) -> Iterator[str]:
    """A deletion is stored only where the message is, and where it was said."""
    deleted = {one.event.message_id: one.event for one in snapshot.others if isinstance(one.event, Deleted)}
    ids = {one.event.message.id: one.event.message_id for one in snapshot.confirmed if not one.event.version}
    for paths in snapshot.sessions() if deleted else ():
        kept = {id_ for (id_,) in rows(paths.inbound_db, "SELECT id FROM messages_in")}
        for id_ in kept & deleted.keys():
            if ids[deleted[id_].target] not in kept:
                yield f"{paths.root.name}: {id_} deletes a message that the session does not have"


def webhooks_reach_wired_chats_only(snapshot: Snapshot) -> Iterator[str]:
    """A webhook is stored for the agents that are wired to its chat, and for no others."""
    for one in snapshot.others:
        if not isinstance(one.event, Webhook):
            continue
        chat = one.event.address.platform_id
        moments = list(snapshot.rights.between(one.since, one.at))
        for session, agent in _receivers(snapshot, one):
            if not any((chat, agent) in rights.wired for rights in moments):
                yield f"{session}: {one.event.event_id} for {chat} is there, to which {agent} is not wired"
        wired = all(any(place == chat for place, _ in rights.wired) for rights in moments)
        if wired and moments and not one.routed.session_ids:
            yield f"{one.event.event_id} for {chat} was dropped: {one.routed.dropped}"


def chats_have_their_names(snapshot: Snapshot) -> Iterator[str]:
    """A chat has the name that its network reported last."""
    reported = dict[str, str]()
    for one in snapshot.confirmed:
        if one.event.chat_name:
            reported[one.event.address.platform_id] = one.event.chat_name
    for chat, name in rows(snapshot.data / "v2.db", "SELECT platform_id, name FROM messaging_groups"):
        if name != reported.get(chat, name):
            yield f"{chat} is called {name!r}, but its network said {reported[chat]!r} last"


def _receivers(snapshot: Snapshot, one: OtherAccepted) -> Iterator[tuple[str, str]]:
    """Yield the sessions that an event was routed to, with their agents."""
    for paths in snapshot.sessions():
        if paths.root.name in one.routed.session_ids:
            yield paths.root.name, paths.root.parent.name
