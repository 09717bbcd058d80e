"""Rows of `user_links`: the identities of a person on several networks. Rights follow the person."""

from datetime import datetime

import apsw

from nanoclaw.records import UserLink
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.errors import NotFound

IDENTITIES = """
SELECT :user_id
UNION
SELECT other.user_id FROM user_links AS own JOIN user_links AS other USING (person_id)
WHERE own.user_id = :user_id
"""
"""SQL that selects all identities of the person `:user_id`, itself included."""


def identities(connection: apsw.Connection, user_id: str) -> tuple[str, ...]:
    """Return all identities of a person: the given one first, the others by id. It need not be a user."""
    found = connection.execute(
        """
        SELECT other.user_id FROM user_links AS own JOIN user_links AS other USING (person_id)
        WHERE own.user_id = :user_id
        """,
        {"user_id": user_id},
    )
    return (user_id, *sorted(str(id_) for (id_,) in found if id_ != user_id))


def person_id(connection: apsw.Connection, user_id: str) -> str:
    """Return the identity that names the person: the one that others were linked to, else itself."""
    row = connection.execute("SELECT person_id FROM user_links WHERE user_id = ?", (user_id,)).fetchall()
    return str(row[0][0]) if row else user_id


def link(
    connection: apsw.Connection, user_id: str, other_id: str, linked_by: str | None, now: datetime
) -> None:
    """Make two identities one person, with all other identities of both. The first one names the person.

    Raises:
        NotFound: one of the users does not exist.
    """
    for each in (user_id, other_id):
        if not connection.execute("SELECT EXISTS (SELECT 1 FROM users WHERE id = ?)", (each,)).get:
            raise NotFound(f"there is no user {each!r}")
    person, other = person_id(connection, user_id), person_id(connection, other_id)
    if person == other:
        return
    connection.execute(
        "UPDATE user_links SET person_id = :person WHERE person_id = :other",
        {"person": person, "other": other},
    )
    connection.executemany(
        """
        INSERT INTO user_links (user_id, person_id, linked_by, linked_at)
        VALUES (:user_id, :person_id, :linked_by, :linked_at)
        ON CONFLICT DO NOTHING
        """,
        [rows.values(UserLink(each, person, linked_by, now)) for each in (person, other)],
    )


def unlink(connection: apsw.Connection, user_id: str) -> None:
    """Make an identity a person of its own again. The others of its person stay linked.

    Raises:
        NotFound: it is not linked.
    """
    row = get(connection, user_id)
    if row is None:
        raise NotFound(f"{user_id} is not linked to another identity")
    forget(connection, user_id)


def forget(connection: apsw.Connection, user_id: str) -> None:
    """Delete the link of an identity, if it has one. The oldest of the others then names the person."""
    person = person_id(connection, user_id)
    connection.execute("DELETE FROM user_links WHERE user_id = ?", (user_id,))
    others = _of_person(connection, person)
    if len(others) == 1:
        connection.execute("DELETE FROM user_links WHERE person_id = ?", (person,))
    elif person == user_id and others:
        connection.execute(
            "UPDATE user_links SET person_id = :new WHERE person_id = :old",
            {"new": others[0].user_id, "old": person},
        )


def get(connection: apsw.Connection, user_id: str) -> UserLink | None:
    """Return the link of an identity, or None."""
    return rows.one(
        UserLink,
        connection.execute(
            "SELECT user_id, person_id, linked_by, linked_at FROM user_links WHERE user_id = ?", (user_id,)
        ),
    )


def every(connection: apsw.Connection) -> list[UserLink]:
    """Return all links, person by person, each with the oldest first."""
    return rows.many(
        UserLink,
        connection.execute(
            """
            SELECT user_id, person_id, linked_by, linked_at FROM user_links
            ORDER BY person_id, user_id <> person_id, julianday(linked_at), user_id
            """
        ),
    )


def _of_person(connection: apsw.Connection, person: str) -> list[UserLink]:
    return [each for each in every(connection) if each.person_id == person]
