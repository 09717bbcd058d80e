"""The state that channels keep: values, subscriptions, locks and lists. Functions of a connection.

A key has the channel's name before it, so channels do not see each other's. Dates are unix time in
milliseconds. What has expired is never returned; `expire` deletes it. `set_at` is the date of the last
change, so that `date_back` can keep the length of a life after the date was set back.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast
from urllib.parse import quote, unquote

import apsw
from attrs import frozen

from nanoclaw.store.central import meta
from nanoclaw.store.engine.errors import NotAllowed

MOST_KEYS = 10_000
"""Limit of the keys of a channel: as many values, lists, subscriptions and locks each."""
MOST_ITEMS = 1_000
"""Limit of a list. The oldest items are deleted."""
LARGEST_LIST = 16 << 20
"""Limit of the values of a list, in characters."""
EXPIRED_AT_ONCE = 500
"""Rows of a table that one transaction deletes."""

_FENCE = "chat_state_fence"
_EXPIRING = ("chat_sdk_kv", "chat_sdk_lists", "chat_sdk_locks")
_Values = Mapping[str, "apsw.SQLiteValue"]


@frozen
class Place:
    """A key of a channel, and the date of the call."""

    channel_type: str
    key: str
    now: datetime

    @property
    def name(self) -> str:
        """The key as it is stored."""
        return f"{_prefix(self.channel_type)}{self.key}"

    def at(self, ttl_s: float | None = None) -> dict[str, "apsw.SQLiteValue"]:
        """Return the parameters of a statement. `ttl_s` is in seconds; None: it never expires."""
        now = _ms(self.now)
        expires_at = None if ttl_s is None else now + max(1, round(ttl_s * 1000))
        prefix = _prefix(self.channel_type)
        return {
            "key": self.name,
            "now": now,
            "expires_at": expires_at,
            "prefix": prefix,
            "end": f"{prefix[:-1]};",  # the character after the colon
        }


def _prefix(channel_type: str) -> str:
    return f"{quote(channel_type, safe='')}:"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


# -- values -----------------------------------------------------------------------------


def get(connection: apsw.Connection, place: Place) -> str | None:
    """Return a value, or None."""
    row = connection.execute(
        "SELECT value FROM chat_sdk_kv WHERE key = :key AND coalesce(expires_at > :now, 1)", place.at()
    ).fetchone()
    return None if row is None else str(row[0])


def put(connection: apsw.Connection, place: Place, value: str, ttl_s: float | None) -> None:
    """Set a value.

    Raises:
        NotAllowed: the channel has too many keys.
    """
    _make_room(connection, place, "chat_sdk_kv", "key")
    connection.execute(
        """
        INSERT INTO chat_sdk_kv (key, value, expires_at, set_at) VALUES (:key, :value, :expires_at, :now)
        ON CONFLICT (key) DO UPDATE
        SET value = excluded.value, expires_at = excluded.expires_at, set_at = excluded.set_at
        """,
        {**place.at(ttl_s), "value": value},
    )


def compare_and_set(
    connection: apsw.Connection, place: Place, expected: str | None, value: str | None, ttl_s: float | None
) -> bool:
    """Set or (None) delete a value if it is the expected one; None expects that there is none."""
    if get(connection, place) != expected:
        return False
    if value is None:
        delete(connection, place)
    else:
        put(connection, place, value, ttl_s)
    return True


def delete(connection: apsw.Connection, place: Place) -> bool:
    """Delete a value and the list of this key. Return False if there was neither."""
    there = get(connection, place) is not None or _has_items(connection, place)
    connection.execute("DELETE FROM chat_sdk_kv WHERE key = :key", place.at())
    connection.execute("DELETE FROM chat_sdk_lists WHERE key = :key", place.at())
    return there


@frozen
class Stored:
    """A value of a channel."""

    channel_type: str
    key: str
    value: str
    expires_at: datetime | None


def named(connection: apsw.Connection, key: str, now: datetime) -> list[Stored]:
    """Return the values of all channels under a key."""
    return [each for each in beginning(connection, key, now) if each.key == key]


def beginning(connection: apsw.Connection, prefix: str, now: datetime) -> list[Stored]:
    """Return the values of all channels whose keys begin with a prefix."""
    found = connection.execute(
        """
        SELECT key, value, expires_at FROM chat_sdk_kv
        WHERE substr(key, instr(key, ':') + 1, length(:prefix)) = :prefix AND coalesce(expires_at > :now, 1)
        ORDER BY key
        """,
        {"prefix": prefix, "now": _ms(now)},
    )
    return [_stored(*(str(key).partition(":")), str(value), expires_at) for key, value, expires_at in found]


def _stored(channel: str, _colon: str, key: str, value: str, expires_at: object) -> Stored:
    at = None if expires_at is None else datetime.fromtimestamp(int(str(expires_at)) / 1000, UTC)
    return Stored(unquote(channel), key, value, at)


# -- subscriptions ------------------------------------------------------------------------


def subscribe(connection: apsw.Connection, place: Place) -> bool:
    """Subscribe to a thread. Return False if that was done before.

    Raises:
        NotAllowed: the channel has too many subscriptions.
    """
    _make_room(connection, place, "chat_sdk_subscriptions", "thread_id")
    connection.execute(
        "INSERT INTO chat_sdk_subscriptions (thread_id) VALUES (:key) ON CONFLICT DO NOTHING", place.at()
    )
    return connection.changes() > 0


def unsubscribe(connection: apsw.Connection, place: Place) -> bool:
    """End a subscription. Return False if there was none."""
    connection.execute("DELETE FROM chat_sdk_subscriptions WHERE thread_id = :key", place.at())
    return connection.changes() > 0


def is_subscribed(connection: apsw.Connection, place: Place) -> bool:
    """Return True if there is a subscription to a thread."""
    query = "SELECT EXISTS (SELECT 1 FROM chat_sdk_subscriptions WHERE thread_id = :key)"
    return bool(connection.execute(query, place.at()).get)


# -- locks ----------------------------------------------------------------------------------


def acquire(connection: apsw.Connection, place: Place, token: str, ttl_s: float) -> int | None:
    """Take a lock. Return its fencing number, or None if somebody holds it.

    The number is larger than that of every lock that was taken before, also before a restart.

    Raises:
        NotAllowed: the channel has too many locks.
    """
    held = "SELECT EXISTS (SELECT 1 FROM chat_sdk_locks WHERE thread_id = :key AND expires_at > :now)"
    if connection.execute(held, place.at()).get:
        return None
    _make_room(connection, place, "chat_sdk_locks", "thread_id")
    fence = int(meta.get(connection, _FENCE) or 0) + 1
    meta.put(connection, _FENCE, str(fence))
    connection.execute(
        """
        REPLACE INTO chat_sdk_locks (thread_id, token, expires_at, set_at, fence)
        VALUES (:key, :token, :expires_at, :now, :fence)
        """,
        {**place.at(ttl_s), "token": token, "fence": fence},
    )
    return fence


def extend(connection: apsw.Connection, place: Place, token: str, ttl_s: float) -> bool:
    """Let a lock end later. Return False if it is not held with this token any more."""
    connection.execute(
        """
        UPDATE chat_sdk_locks SET expires_at = :expires_at, set_at = :now
        WHERE thread_id = :key AND token = :token AND expires_at > :now
        """,
        {**place.at(ttl_s), "token": token},
    )
    return connection.changes() > 0


def release(connection: apsw.Connection, place: Place, token: str) -> bool:
    """Release a lock. Return False if it is not held with this token any more."""
    connection.execute(
        "DELETE FROM chat_sdk_locks WHERE thread_id = :key AND token = :token AND expires_at > :now",
        {**place.at(), "token": token},
    )
    return connection.changes() > 0


# -- lists ----------------------------------------------------------------------------------


def append(
    connection: apsw.Connection, place: Place, value: str, max_length: int, ttl_s: float | None
) -> int:
    """Append to a list, delete its oldest items above `max_length`, and return its length.

    The whole list expires `ttl_s` seconds after this call; None: never.

    Raises:
        NotAllowed: the channel has too many lists, or the list is too large.
    """
    if not _has_items(connection, place):
        connection.execute("DELETE FROM chat_sdk_lists WHERE key = :key", place.at())
        _make_room(connection, place, "chat_sdk_lists", "key")
    found = {**place.at(ttl_s), "value": value, "most": max_length}
    connection.execute(
        """
        INSERT INTO chat_sdk_lists (key, idx, value, expires_at, set_at)
        SELECT :key, coalesce(max(idx), -1) + 1, :value, :expires_at, :now
        FROM chat_sdk_lists WHERE key = :key
        """,
        found,
    )
    connection.execute(
        "UPDATE chat_sdk_lists SET expires_at = :expires_at, set_at = :now WHERE key = :key", found
    )
    connection.execute(
        """
        DELETE FROM chat_sdk_lists WHERE key = :key AND idx IN (
          SELECT idx FROM chat_sdk_lists WHERE key = :key ORDER BY idx DESC LIMIT -1 OFFSET :most)
        """,
        found,
    )
    ((length, size),) = connection.execute(
        "SELECT count(*), sum(length(value)) FROM chat_sdk_lists WHERE key = :key", found
    )
    if cast("int", size) > LARGEST_LIST:
        raise NotAllowed(
            f"the list {place.key!r:.80} of channel {place.channel_type} would have {size:,} characters; "
            f"the limit is {LARGEST_LIST:,}: use a smaller max_length"
        )
    return cast("int", length)


def items(connection: apsw.Connection, place: Place) -> list[str]:
    """Return the items of a list, oldest first."""
    found = connection.execute(
        """
        SELECT value FROM chat_sdk_lists WHERE key = :key AND coalesce(expires_at > :now, 1) ORDER BY idx
        """,
        place.at(),
    )
    return [str(value) for (value,) in found]


def _has_items(connection: apsw.Connection, place: Place) -> bool:
    query = """
        SELECT EXISTS (
          SELECT 1 FROM chat_sdk_lists WHERE key = :key AND coalesce(expires_at > :now, 1))
    """
    return bool(connection.execute(query, place.at()).get)


# -- limits and expiry ------------------------------------------------------------------------


def _make_room(connection: apsw.Connection, place: Place, table: str, column: str) -> None:
    """Raise NotAllowed if a new key would be one too many. What has expired is deleted before."""
    found = place.at()
    there = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} = :key)"  # noqa: S608 -- names of this module
    if connection.execute(there, found).get or _count(connection, table, column, found) < MOST_KEYS:
        return
    if table in _EXPIRING:
        of_channel = f"{column} >= :prefix AND {column} < :end"
        connection.execute(f"DELETE FROM {table} WHERE {of_channel} AND expires_at <= :now", found)  # noqa: S608 -- likewise
    if _count(connection, table, column, found) >= MOST_KEYS:
        what = {
            "chat_sdk_kv": "keys",
            "chat_sdk_lists": "lists",
            "chat_sdk_locks": "locks",
            "chat_sdk_subscriptions": "subscriptions",
        }[table]
        raise NotAllowed(
            f"channel {place.channel_type} has {MOST_KEYS:,} {what}, which is the limit: "
            f"delete some, or let them expire"
        )


def _count(connection: apsw.Connection, table: str, column: str, values: _Values) -> int:
    query = f"SELECT count(DISTINCT {column}) FROM {table} WHERE {column} >= :prefix AND {column} < :end"  # noqa: S608 -- likewise
    return cast("int", connection.execute(query, values).get)


def next_expiry(connection: apsw.Connection) -> int | None:
    """Return when the next value, list or lock expires, in unix ms, or None."""
    dates = [connection.execute(f"SELECT min(expires_at) FROM {table}").get for table in _EXPIRING]  # noqa: S608 -- likewise
    return min((cast("int", date) for date in dates if date is not None), default=None)


def is_ahead(connection: apsw.Connection, now: datetime) -> bool:
    """Return True if something that expires was set at a later date than `now`: the date was set back."""
    queries = (
        f"SELECT EXISTS (SELECT 1 FROM {table} WHERE expires_at IS NOT NULL AND set_at > :now)"  # noqa: S608 -- likewise
        for table in _EXPIRING
    )
    return any(connection.execute(query, {"now": _ms(now)}).get for query in queries)


def date_back(connection: apsw.Connection, now: datetime) -> None:
    """Let what was set at a later date than `now` expire after its own length from now."""
    for table in _EXPIRING:
        connection.execute(
            f"""
            UPDATE {table} SET expires_at = :now + expires_at - set_at, set_at = :now
            WHERE expires_at IS NOT NULL AND set_at > :now
            """,  # noqa: S608 -- likewise
            {"now": _ms(now)},
        )


def expire(connection: apsw.Connection, now: datetime) -> bool:
    """Delete what has expired, about `EXPIRED_AT_ONCE` rows of a table. Return True if there may be more."""
    more = False
    for table in _EXPIRING:
        column = "key" if table != "chat_sdk_locks" else "thread_id"
        connection.execute(
            f"""
            DELETE FROM {table} WHERE {column} IN (
              SELECT {column} FROM {table} WHERE expires_at <= :now LIMIT {EXPIRED_AT_ONCE})
              AND expires_at <= :now
            """,  # noqa: S608 -- likewise
            {"now": _ms(now)},
        )
        more = more or connection.changes() >= EXPIRED_AT_ONCE
    return more
