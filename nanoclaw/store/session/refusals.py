"""Counter of the rows that a session refused from its runner, with the last reason. Stored in `meta`."""

import apsw
from attrs import frozen

from nanoclaw.store.session.messages_in import mark, set_mark

COUNT = "refused"
LAST = "last_refused"
MAX_REASON = 500
"""Characters of a reason that are kept."""


@frozen
class Refusals:
    """Number of refused rows since the session began."""

    count: int = 0
    last: str | None = None
    """Id of the last refused row, and the reason."""

    def and_one(self, message_out_id: str, reason: str) -> "Refusals":
        """Return the counter with one more refused row."""
        return Refusals(self.count + 1, f"{message_out_id}: {reason}"[:MAX_REASON])


def read(connection: apsw.Connection) -> Refusals:
    """Read the stored counter."""
    last = connection.execute("SELECT value FROM meta WHERE key = :key", {"key": LAST}).get
    return Refusals(mark(connection, COUNT), None if last is None else str(last))


def keep(connection: apsw.Connection, refusals: Refusals) -> None:
    """Store the counter. Call it in the transaction that makes the delivery final."""
    set_mark(connection, COUNT, refusals.count)
    connection.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES (:key, :value)",
        {"key": LAST, "value": refusals.last},
    )
