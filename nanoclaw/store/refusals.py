"""What a session refused of its runner's rows: how many, and why the last one; kept in its `meta`."""

import apsw
from attrs import frozen

from nanoclaw.store.messages_in import mark, set_mark

COUNT = "refused"
LAST = "last_refused"
MAX_REASON = 500
"""Characters of a reason that are kept."""


@frozen
class Refusals:
    """Rows that broke the contract, since the session began."""

    count: int = 0
    last: str | None = None
    """The last one's id, and why."""

    def and_one(self, message_out_id: str, reason: str) -> "Refusals":
        """One more."""
        return Refusals(self.count + 1, f"{message_out_id}: {reason}"[:MAX_REASON])


def read(connection: apsw.Connection) -> Refusals:
    """What is kept."""
    last = connection.execute("SELECT value FROM meta WHERE key = :key", {"key": LAST}).get
    return Refusals(mark(connection, COUNT), None if last is None else str(last))


def keep(connection: apsw.Connection, refusals: Refusals) -> None:
    """Keep it; in the transaction that makes the delivery final."""
    set_mark(connection, COUNT, refusals.count)
    connection.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES (:key, :value)",
        {"key": LAST, "value": refusals.last},
    )
