"""Checks of retries: the number of tries, their causes, and the reasons for giving up."""

from collections.abc import Iterator

from nanoclaw.simulation.checks.agents import CUT
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import rows

GIVEN_UP, IN_DOUBT = "given up after", "unknown whether"
NETWORKS = ("the channel refuses it", GIVEN_UP, IN_DOUBT)
"""The beginnings of the reasons for which a delivery may fail."""
NO_DESTINATION = " is not a destination of this agent"
"""The end of the reason for which a delivery may fail if its destination was taken away."""


def tries_end(snapshot: Snapshot) -> Iterator[str]:
    """A message is tried at most `max_tries` times."""
    for messages in snapshot.turns:
        for _, id_, tries in messages:
            if tries >= snapshot.max_tries:
                yield f"{id_} has try {tries + 1}, but the limit is {snapshot.max_tries}"


def answers_have_higher_numbers(snapshot: Snapshot) -> Iterator[str]:
    """An answer has a higher number than its message."""
    sql = "SELECT id, seq, in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL"
    for paths in snapshot.sessions():
        numbers = dict(rows(paths.inbound_db, "SELECT id, seq FROM messages_in"))
        for id_, seq, answers in rows(paths.outbound_db, sql):
            if seq < numbers.get(answers, 0):
                yield f"{paths.root.name}: {id_} ({seq}) answers {answers} ({numbers[answers]})"


def failures_have_network_reasons(snapshot: Snapshot) -> Iterator[str]:
    """A delivery fails only because of its network, or because its destination was taken away.

    The network rejected it, all attempts failed, or the outcome was unknown more often than the channel's
    policy allows.
    """
    sql = """
        SELECT message_out_id, error, attempts, doubts FROM deliveries JOIN delivered USING (message_out_id)
        WHERE delivered.status = 'failed'
        """
    for paths in snapshot.sessions():
        failed = rows(paths.inbound_db, sql)
        requests = "SELECT id FROM messages_out WHERE kind = 'system'"
        actions = {id_ for (id_,) in rows(paths.outbound_db, requests)} if failed else set()
        for id_, reason, attempts, doubts in failed:
            lost = _lost_destination(snapshot, paths.root.parent.name, str(reason))
            if id_ not in actions and not lost and not str(reason).startswith((*NETWORKS, *CUT)):
                yield f"{paths.root.name}: {id_} failed for a reason that is not the network's: {reason}"
            gave_up = str(reason).startswith(GIVEN_UP) and attempts < snapshot.max_attempts
            doubted = str(reason).startswith(IN_DOUBT) and doubts < _doubts_borne(snapshot)
            if gave_up or doubted:
                yield f"{paths.root.name}: {id_} failed after {attempts} attempts, {doubts} unknown: {reason}"


def _lost_destination(snapshot: Snapshot, agent: str, reason: str) -> bool:
    """Return True if the reason names a chat that was no destination of the agent for some time."""
    chat = reason.removesuffix(NO_DESTINATION).partition(":")[2] if reason.endswith(NO_DESTINATION) else ""
    return bool(chat) and any((agent, chat) not in each.destinations for each in snapshot.rights.since(0))


def _doubts_borne(snapshot: Snapshot) -> int:
    return {"never": 0, "again": 1}.get(snapshot.repeat, snapshot.max_attempts - 1)


def failed_messages_had_their_tries(snapshot: Snapshot) -> Iterator[str]:
    """A message fails only at its last try, or when its runner reports `failed`."""
    sql = "SELECT id, tries FROM messages_in WHERE status = 'failed' AND kind IN ('chat', 'task') AND trigger"
    failed_by_runner = "SELECT message_id FROM processing_ack WHERE status = 'failed'"
    for paths in snapshot.sessions():
        failed = rows(paths.inbound_db, sql)
        given_up = {id_ for (id_,) in rows(paths.outbound_db, failed_by_runner)} if failed else set()
        for id_, tries in failed:
            if tries < snapshot.max_tries - 1 and id_ not in given_up:
                yield f"{paths.root.name}: {id_} failed after {tries + 1} of {snapshot.max_tries} tries"


def tries_have_their_causes(snapshot: Snapshot) -> Iterator[str]:
    """A message loses a try only by a failed turn or by the death of the runner that claimed it."""
    sql = "SELECT id, tries FROM messages_in WHERE tries > 0 AND trigger AND id NOT LIKE 'answer-%'"
    for paths in (paths for paths in snapshot.sessions() if paths.root.name not in snapshot.unreckoned):
        for id_, tries in rows(paths.inbound_db, sql):
            if tries > snapshot.spent.get(id_, 0):
                spent = snapshot.spent.get(id_, 0)
                yield f"{paths.root.name}: {id_} has lost {tries} tries; {spent} are accounted for"
