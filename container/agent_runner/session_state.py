"""The provider's own texts by key: the table `session_state` of outbound.db.

This module limits the sizes. Values of another runner that are too large or not text are ignored.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from attrs import frozen

from agent_runner.clock import Clock
from agent_runner.errors import UnstorableError
from agent_runner.rows import insert
from agent_runner.store import Connection, Writer
from agent_runner.text import clean
from agent_runner.times import to_text

LONGEST_KEY = 256
"""Characters."""
LARGEST_VALUE = 1024 * 1024
"""Bytes of UTF-8."""
MOST_KEYS = 1000

MODEL = "model"
"""The key of the model's name that `/model` chose."""

StateChanges = Mapping[str, str | None]
"""New values by key; None removes the key."""


@frozen
class StoredState:
    """The state of a session. Implements `agent_runner.providers.SessionState`."""

    _outbound: Writer
    _clock: Clock

    async def get(self, key: str, /) -> str | None:
        """Return the value, or None."""
        return await self._outbound.read(lambda connection: _get(connection, key))

    async def set(self, key: str, value: str, /) -> None:
        """Store a value."""
        await self._apply({key: value})

    async def delete(self, key: str, /) -> None:
        """Remove a key."""
        await self._apply({key: None})

    async def items(self) -> Mapping[str, str]:
        """Return everything."""
        return await self._outbound.read(_items)

    async def _apply(self, changes: StateChanges) -> None:
        checked(changes)
        now = self._clock.now()
        # A transaction that raises counts as a broken database, so a full table is a result, not an error.
        problem = await self._outbound.write(lambda connection: _apply_if_room(connection, changes, now))
        if problem is not None:
            raise UnstorableError(problem)


def checked(changes: object) -> StateChanges:
    """Return the changes. Raises UnstorableError if they are not texts by key, or too large."""
    if not isinstance(changes, Mapping):
        raise UnstorableError(f"session_state takes a mapping of texts, got {type(changes).__name__}")
    for key, value in changes.items():
        if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or clean(key) != key or "\0" in key:
            raise UnstorableError(
                f"a key of session_state is a text of 1 to {LONGEST_KEY} characters, got {key!r:.80}"
            )
        if value is not None and not isinstance(value, str):
            raise UnstorableError(f"session_state[{key!r}] must be a text, got {type(value).__name__}")
        size = 0 if value is None else len(value.encode("utf-8", "replace"))
        if size > LARGEST_VALUE:
            raise UnstorableError(f"session_state[{key!r}] has {size:,} bytes; the most is {LARGEST_VALUE:,}")
    return changes


def lack_of_room(connection: Connection, changes: StateChanges) -> str | None:
    """Return why these changes would make too many keys, or None."""
    present = {str(key) for (key,) in connection.execute("SELECT key FROM session_state")}
    after = present | {key for key, value in changes.items() if value is not None}
    after -= {key for key, value in changes.items() if value is None}
    if len(after) <= max(MOST_KEYS, len(present)):
        return None
    return f"session_state would have {len(after):,} keys; the most is {MOST_KEYS:,}"


def apply(connection: Connection, changes: StateChanges, now: datetime) -> None:
    """Store and remove, in the caller's transaction."""
    for key, value in changes.items():
        if value is None:
            connection.execute("DELETE FROM session_state WHERE key = :key", {"key": key})
            continue
        row = {"key": key, "value": clean(value), "updated_at": to_text(now)}
        insert(connection, "session_state", row, now, replace=True)


def clear(connection: Connection, keep: Collection[str]) -> None:
    """Remove all keys but some, in the caller's transaction. That includes keys of another runner."""
    for (key,) in connection.execute("SELECT key FROM session_state").fetchall():
        if key not in keep:
            connection.execute("DELETE FROM session_state WHERE key = :key", {"key": key})


def _apply_if_room(connection: Connection, changes: StateChanges, now: datetime) -> str | None:
    problem = lack_of_room(connection, changes)
    if problem is None:
        apply(connection, changes, now)
    return problem


def _get(connection: Connection, key: str) -> str | None:
    value = connection.execute(
        """
        SELECT value FROM session_state
        WHERE key = :key AND typeof(value) = 'text' AND length(CAST(value AS BLOB)) <= :largest
        """,
        {"key": clean(key), "largest": LARGEST_VALUE},
    ).get
    return None if value is None else str(value)


def _items(connection: Connection) -> Mapping[str, str]:
    rows = connection.execute(
        """
        SELECT key, value FROM session_state
        WHERE typeof(key) = 'text' AND typeof(value) = 'text'
          AND length(key) <= :longest AND length(CAST(value AS BLOB)) <= :largest
        ORDER BY key LIMIT :most
        """,
        {"longest": LONGEST_KEY, "largest": LARGEST_VALUE, "most": MOST_KEYS},
    )
    return {str(key): str(value) for key, value in rows}
