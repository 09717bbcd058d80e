"""Checks of retries: the number of tries, their causes, and the reasons for giving up."""

from collections.abc import Iterator

from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.testing.invariants import rows

GIVEN_UP, IN_DOUBT = "given up after", "unknown whether"
NETWORKS = ("the channel refuses it", GIVEN_UP, IN_DOUBT)
"""How the reason begins if a network does not get a message."""


def tries_end(snapshot: Snapshot) -> Iterator[str]:
    """Nothing is tried more often than `max_tries`."""
    for messages in snapshot.turns:
        for _, id_, tries in messages:
            if tries >= snapshot.max_tries:
                yield f"{id_} is tried for the {tries + 1}th time, of {snapshot.max_tries}"


def answers_have_higher_numbers(snapshot: Snapshot) -> Iterator[str]:
    """An answer has a number above that of its message."""
    sql = "SELECT id, seq, in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL"
    for paths in snapshot.sessions():
        numbers = dict(rows(paths.inbound_db, "SELECT id, seq FROM messages_in"))
        for id_, seq, answers in rows(paths.outbound_db, sql):
            if seq < numbers.get(answers, 0):
                yield f"{paths.root.name}: {id_} ({seq}) answers {answers} ({numbers[answers]})"


def failures_have_network_reasons(snapshot: Snapshot) -> Iterator[str]:
    """A delivery fails only because of its network.

    That is so after all attempts, or where it refuses a message for good, or where it is in doubt whether it
    has one, and that has been borne as often as it may be.
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
            if id_ not in actions and not str(reason).startswith(NETWORKS):
                yield f"{paths.root.name}: {id_} was not delivered: {reason}"
            gave_up = str(reason).startswith(GIVEN_UP) and attempts < snapshot.max_attempts
            doubted = str(reason).startswith(IN_DOUBT) and doubts < _doubts_borne(snapshot)
            if gave_up or doubted:
                yield f"{paths.root.name}: {id_} had {attempts} attempts, {doubts} doubtful: {reason}"


def _doubts_borne(snapshot: Snapshot) -> int:
    return {"never": 0, "again": 1}.get(snapshot.repeat, snapshot.max_attempts - 1)


def failed_messages_had_their_tries(snapshot: Snapshot) -> Iterator[str]:
    """A message fails at its last try, unless its runner says that no other would help."""
    sql = "SELECT id, tries FROM messages_in WHERE status = 'failed' AND kind IN ('chat', 'task') AND trigger"
    failed_by_runner = "SELECT message_id FROM processing_ack WHERE status = 'failed'"
    for paths in snapshot.sessions():
        failed = rows(paths.inbound_db, sql)
        given_up = {id_ for (id_,) in rows(paths.outbound_db, failed_by_runner)} if failed else set()
        for id_, tries in failed:
            if tries < snapshot.max_tries - 1 and id_ not in given_up:
                yield f"{paths.root.name}: {id_} has failed after {tries + 1} tries, of {snapshot.max_tries}"


def tries_have_their_causes(snapshot: Snapshot) -> Iterator[str]:
    """A try is spent by a turn that gives its message back, or by the death of the runner that has it."""
    sql = "SELECT id, tries FROM messages_in WHERE tries > 0 AND trigger AND id NOT LIKE 'answer-%'"
    for paths in (paths for paths in snapshot.sessions() if paths.root.name not in snapshot.unreckoned):
        for id_, tries in rows(paths.inbound_db, sql):
            if tries > snapshot.spent.get(id_, 0):
                spent = snapshot.spent.get(id_, 0)
                yield f"{paths.root.name}: {id_} has lost {tries} tries, and {spent} were spent"
