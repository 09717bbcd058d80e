"""Checks of approvals: only those decide who may, and each decision is carried out and told once."""

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from nanoclaw.simulation.network import Accepted
from nanoclaw.simulation.people import APPROVALS
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import Evidence, rows

_DECIDED = """
    SELECT approval_id, coalesce(agent_group_id, ''), choice, decided_by, note FROM pending_approvals
    WHERE status IN ('approved', 'rejected')
    """
_OVERDUE = """
    SELECT approval_id, status FROM pending_approvals
    WHERE (status = 'pending' AND expires_at < :now) OR (status <> 'pending' AND finished_at IS NULL)
    """
_ASKERS = """
    SELECT approval_id, approval_askers.session_id, approval_askers.told_at, status FROM approval_askers
    JOIN pending_approvals USING (approval_id) WHERE status <> 'pending'
    """
_NEEDLESS = """
    SELECT approval_id FROM pending_approvals
    WHERE action = 'admit_sender' AND status = 'pending' AND NOT EXISTS (
      SELECT 1 FROM json_each(payload, '$.agents') AS agent WHERE NOT EXISTS (
        SELECT 1 FROM agent_group_members
        WHERE agent_group_id = agent.value AND user_id = json_extract(payload, '$.user')
      )
    )
    """
_DONE = """
    SELECT action, choice, outcome FROM pending_approvals
    WHERE status = 'approved' AND json_extract(outcome, '$.error') IS NULL
    """
BY_RULE = "by the rule "
"""The beginning of the notes of decisions that a rule has made."""


def only_the_eligible_decide(snapshot: Snapshot) -> Iterator[str]:
    """A decision is the press of somebody who could decide then, of a button that the card had."""
    pressed = {
        (click.question_id, click.value, click.user_id): at for click, at in reversed(snapshot.pressed)
    }
    for id_, agent, choice, by, note in rows(snapshot.data / "v2.db", _DECIDED):
        at = pressed.get((id_, choice, by))
        if str(note or "").startswith(BY_RULE):
            continue
        if at is None:
            yield f"{id_} was decided as {choice} by {by}, who did not press that"
        elif not any((agent, by) in rights.deciders for rights in snapshot.rights.since(at)):
            yield f"{id_} was decided by {by}, who could not decide for {agent or 'the home'}"


def presses_that_count_decide(snapshot: Snapshot) -> Iterator[str]:
    """A press that was accepted is the decision."""
    found = {id_: (choice, by) for id_, _, choice, by, _ in rows(snapshot.data / "v2.db", _DECIDED)}
    for click, routed in snapshot.clicked:
        ours = click.question_id.startswith(APPROVALS) and routed.dropped is None
        if ours and found.get(click.question_id) != (click.value, click.user_id):
            yield f"{click.event_id} was accepted, but {click.question_id} is {found.get(click.question_id)}"


def approvals_end(snapshot: Snapshot) -> Iterator[str]:
    """An approval is decided or expires, and what was approved is done."""
    for id_, status in rows(snapshot.data / "v2.db", _OVERDUE, now=snapshot.now):
        yield f"{id_} is {status} and has not ended"


def needless_requests_are_withdrawn(snapshot: Snapshot) -> Iterator[str]:
    """No request about a sender is open whom all agents of the request hear as a member."""
    for (id_,) in rows(snapshot.data / "v2.db", _NEEDLESS):
        yield f"{id_} is open, but whom it is about was let in"


def askers_are_told(snapshot: Snapshot) -> Iterator[str]:
    """Each session that asked has one row with the outcome."""
    told = defaultdict[str, list[tuple[str, str]]](list)
    sql = "SELECT id, json_extract(content, '$.decision') FROM messages_in WHERE id LIKE 'outcome-%'"
    sessions = {paths.root.name: paths for paths in snapshot.sessions()}
    for session, paths in sessions.items():
        told[session] += rows(paths.inbound_db, sql)
    for id_, session, told_at, status in rows(snapshot.data / "v2.db", _ASKERS):
        if session in sessions and (told_at is None or told[session].count((f"outcome-{id_}", status)) != 1):
            yield f"{session} asked for {id_}, which is {status}, but was told {told[session]}"


def decisions_are_carried_out_once(snapshot: Snapshot) -> Iterator[str]:
    """Each approval of an agent makes one agent, and each of a chat wires it once."""
    done = rows(snapshot.data / "v2.db", _DONE)
    made = sum(action == "create_agent" or choice == "new" for action, choice, _ in done)
    [(agents,)] = rows(snapshot.data / "v2.db", "SELECT count(*) FROM agent_groups")
    if agents != snapshot.agents + made:
        yield f"there are {agents} agents: {snapshot.agents} in the beginning, and {made} were approved"
    wired = set(rows(snapshot.data / "v2.db", "SELECT agent_group_id FROM messaging_group_agents"))
    for action, _, outcome in done:
        agent = _agent(outcome)
        if action == "admit_chat" and (agent,) not in wired:
            yield f"a chat was approved for {agent}, but is not wired"


def _agent(outcome: str | None) -> str | None:
    found: dict[str, Any] = json.loads(outcome or "{}")
    return found.get("agent_group_id")


# -- held messages ---------------------------------------------------------------

_SPOKEN = """
    SELECT id, seq FROM messages_in WHERE kind = 'chat' AND json_extract(content, '$.senderId') = :sender
      AND platform_id = :chat
    """


def held_messages_keep_their_order(snapshot: Snapshot) -> Iterator[str]:
    """The messages of a sender in a chat are in each session in the order in which they were said."""
    spoken = defaultdict[tuple[str, str], dict[str, None]](dict)
    kept = {(one.event.address.platform_id, one.event.message.sender_id) for one in _held(snapshot)}
    for one in snapshot.confirmed:
        place = one.event.address.platform_id, one.event.message.sender_id
        if place in kept and not one.event.version:
            spoken[place[0], str(place[1])].setdefault(one.event.message_id)
    for paths in snapshot.sessions():
        for (chat, sender), said in spoken.items():
            numbers = dict(rows(paths.inbound_db, _SPOKEN, sender=sender, chat=chat))
            there = [id_ for id_ in said if id_ in numbers]
            for first, second in pairwise(there):
                if numbers[first] >= numbers[second]:
                    yield f"{paths.root.name}: {second} of {sender} has a lower number than {first} before it"


def held_messages_end(snapshot: Snapshot) -> Iterator[str]:
    """A held message is in a session, or still waits, or was dropped with a reason."""
    central = snapshot.data / "v2.db"
    waiting = {id_ for (id_,) in rows(central, "SELECT message_id FROM held_messages")}
    dropped = set(rows(central, "SELECT platform_id, user_id FROM unregistered_senders"))
    parked = str(rows(central, "SELECT event FROM parked_events"))
    stored = {
        id_
        for paths in snapshot.sessions()
        for (id_,) in rows(paths.inbound_db, "SELECT id FROM messages_in WHERE kind = 'chat'")
    }
    all_read = len(Evidence(snapshot.data).sessions()) == len(snapshot.sessions())
    for one in _held(snapshot):
        event, place = one.event, (one.event.address.platform_id, one.event.message.sender_id)
        known = event.message_id in stored | waiting or place in dropped or event.event_id in parked
        if not known and all_read:
            yield f"{event.event_id} ({event.message.text}) was held and is nowhere now"


def stored_messages_are_held_no_more(snapshot: Snapshot) -> Iterator[str]:
    """A message that waits for one agent only is not in a session of that agent.

    A message of a member may be offered again after the membership ended. Then it is stored and held.
    """
    sql = "SELECT message_id, agents FROM held_messages"
    at_once = {one.event.message_id for one in snapshot.confirmed if one.routed.session_ids}
    found = rows(snapshot.data / "v2.db", sql)
    waiting = {id_: json.loads(agents) for id_, agents in found if id_ not in at_once}
    for paths in snapshot.sessions() if waiting else ():
        agent = paths.root.parent.name
        for (id_,) in rows(paths.inbound_db, "SELECT id FROM messages_in WHERE kind = 'chat'"):
            if agent in waiting.get(id_, ()):
                yield f"{paths.root.name}: {id_} is stored, but is still held for {agent}"


def _held(snapshot: Snapshot) -> Iterator[Accepted]:
    return (one for one in snapshot.confirmed if one.routed.held)
