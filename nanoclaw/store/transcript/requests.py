"""Rows of `requests`: the requests that clients may repeat under an idempotency key."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import apsw
from attrs import frozen

from nanoclaw.store.engine.times import to_text


@frozen
class Earlier:
    """A request that came before under the same key."""

    digest: str
    """The digest of its body."""
    answer: Mapping[str, Any] | None
    """Its answer; None if it has none yet."""


def begin(connection: apsw.Connection, user: str, key: str, digest: str, now: datetime) -> Earlier | None:
    """Note a request. Return the earlier one with the same key, if there is one."""
    row = connection.execute(
        "SELECT digest, answer FROM requests WHERE user = :user AND key = :key", {"user": user, "key": key}
    ).fetchone()
    if row is not None:
        return Earlier(str(row[0]), None if row[1] is None else json.loads(str(row[1])))
    connection.execute(
        "INSERT INTO requests (user, key, digest, created_at) VALUES (:user, :key, :digest, :now)",
        {"user": user, "key": key, "digest": digest, "now": to_text(now)},
    )
    return None


def answer(connection: apsw.Connection, user: str, key: str, answer: Mapping[str, Any]) -> None:
    """Keep the answer of a request."""
    connection.execute(
        "UPDATE requests SET answer = :answer WHERE user = :user AND key = :key",
        {"user": user, "key": key, "answer": json.dumps(dict(answer), ensure_ascii=False)},
    )


def forget(connection: apsw.Connection, user: str, key: str) -> None:
    """Forget a request that had no effect, so that its key may be used again."""
    connection.execute("DELETE FROM requests WHERE user = :user AND key = :key", {"user": user, "key": key})


def prune(connection: apsw.Connection, older: datetime) -> None:
    """Delete the requests that are older than a date."""
    connection.execute("DELETE FROM requests WHERE created_at < :older", {"older": to_text(older)})
