"""Messages between agents, in a session's `inbound.db`: their chains, and their rate between two sessions.

The host derives a chain from the session's open messages and from the message that the row claims to answer.
So a runner cannot shorten a chain.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import apsw
from attrs import frozen

from nanoclaw.records import Address
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session.messages_in import json_array

MINUTE = timedelta(minutes=1)


@frozen
class Chain:
    """The place of a message in a chain of messages."""

    causation_id: str
    """The id of the chain's first message."""
    hops: int
    """Number of messages from agent to agent in the chain, including this one."""


@frozen
class Letter:
    """A session's data about a row that goes to an agent."""

    chain: Chain
    asked_by: str | None = None
    """The session that sent the message which the row claims to answer."""
    asked_from: Address | None = None
    """The address of that message."""


# -- chains --------------------------------------------------------------------


def record_chains(
    connection: apsw.Connection, rows: Iterable[tuple[str, str | None]], at_work: Iterable[str]
) -> None:
    """Record the chains of new rows in the ledger. Each row is its id and the id of the message it answers.

    `at_work` lists the messages that the runner is working on. If no message is open, the last finished one
    is used.
    """
    given, working = list(rows), json_array(list(at_work))
    if not given:
        return
    base = _furthest(connection, "status = 'pending' AND trigger = 1", {"at_work": working})
    if base is None:
        done = "seq = (SELECT max(seq) FROM messages_in WHERE status IN ('completed', 'failed'))"
        base = _furthest(connection, done, {"at_work": working})
    for message_out_id, answers in given:
        named = _furthest(connection, "id = :id", {"at_work": working, "id": answers}) if answers else None
        before = named if base is None or (named and named.hops >= base.hops) else base
        chain = Chain(before.causation_id, before.hops + 1) if before else Chain(message_out_id, 1)
        _note(connection, message_out_id, chain)


def _furthest(connection: apsw.Connection, where: str, values: dict[str, str]) -> Chain | None:
    """Return the chain with the most hops among the messages that match `where`, or None."""
    row = connection.execute(
        f"""
        SELECT coalesce(causation_id, id), coalesce(hops, 0) AS hops FROM messages_in WHERE {where}
        ORDER BY hops DESC, id IN (SELECT value FROM json_each(:at_work)) DESC, seq LIMIT 1
        """,  # noqa: S608 -- constants of this module
        values,
    ).fetchone()
    return Chain(str(row[0]), int(row[1])) if row else None


def _note(connection: apsw.Connection, message_out_id: str, chain: Chain) -> None:
    connection.execute(
        "UPDATE deliveries SET causation_id = :causation_id, hops = :hops WHERE message_out_id = :id",
        {"id": message_out_id, "causation_id": chain.causation_id, "hops": chain.hops},
    )


def follow_chain(connection: apsw.Connection, before: str, after: str) -> None:
    """Copy the chain of a recurring delivery to the delivery that follows it."""
    connection.execute(
        """
        UPDATE deliveries SET (causation_id, hops) = (
          SELECT causation_id, hops FROM deliveries WHERE message_out_id = :before
        )
        WHERE message_out_id = :after
        """,
        {"before": before, "after": after},
    )


def letter(connection: apsw.Connection, message_out_id: str, answers: str | None) -> Letter:
    """Read the session's data about a delivery to an agent.

    A row of the host has no chain in the ledger. It continues the chain of the message that it answers.
    """
    noted = connection.execute(
        "SELECT causation_id, hops FROM deliveries WHERE message_out_id = ? AND hops IS NOT NULL",
        (message_out_id,),
    ).fetchone()
    named = None if noted else _furthest(connection, "id = :id", {"at_work": "[]", "id": answers or ""})
    before = Chain(str(noted[0]), int(noted[1]) - 1) if noted else named or Chain(message_out_id, 0)
    chain = Chain(before.causation_id, before.hops + 1)
    asked = connection.execute(
        """
        SELECT source_session_id, channel_type, platform_id FROM messages_in
        WHERE id = ? AND source_session_id IS NOT NULL
        """,
        (answers,),
    ).fetchone()
    return Letter(chain, str(asked[0]), Address(str(asked[1]), str(asked[2]))) if asked else Letter(chain)


# -- rate ----------------------------------------------------------------------


def received(connection: apsw.Connection, session_id: str, now: datetime) -> int:
    """Return the number of messages that came from a session in the last minute."""
    count = connection.execute(
        """
        SELECT count(*) FROM messages_in
        WHERE source_session_id = :session_id AND timestamp > :since AND timestamp <= :now
        """,
        {"session_id": session_id, "since": to_text(now - MINUTE), "now": to_text(now)},
    ).get
    return count if isinstance(count, int) else 0
