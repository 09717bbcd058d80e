"""What refers to a row that is to be deleted (contract 3): named for people, or nothing."""

from collections.abc import Sequence

import apsw

from nanoclaw.store.errors import StillReferenced

NAMED = 5
"""So many are named of each kind; the others are counted."""


def refuse_if_referenced(
    connection: apsw.Connection, what: str, id_: str, queries: Sequence[tuple[str, str]]
) -> None:
    """Raise if anything refers to `what`.

    Args:
        connection: of the central database, within the deleting transaction.
        what: the row in words, such as `messaging group mg-1`.
        id_: bound as `:id` in each query.
        queries: the kind in words, and a query for the names of those of that kind that refer to the row.

    Raises:
        StillReferenced: something does; the text names it.
    """
    found = [_named(kind, _names(connection, query, id_)) for kind, query in queries]
    if reasons := ", ".join(reason for reason in found if reason):
        raise StillReferenced(f"{what} is still referred to by {reasons}; delete or change those first")


def _names(connection: apsw.Connection, query: str, id_: str) -> list[str]:
    return sorted(str(name) for (name,) in connection.execute(query, {"id": id_}))


def _named(kind: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{kind} {', '.join(names[:NAMED])}{more}"
