"""Rows of `usage`: what agents have used, by day, session, agent, provider and model."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import apsw

from nanoclaw.records import AMOUNTS, MEASURES, Amounts, Measure, UsageKey
from nanoclaw.records.usage import MOST

Group = Literal["day", "agent", "session", "model"]
_COLUMNS = {
    "day": "day",
    "agent": "agent_group_id",
    "session": "session_id",
    "model": "provider || '/' || model",
}
# Another program may have written anything. What is not a number counts as 0.
_SUMS = ", ".join(
    f"CAST(min({MOST}, total(iif(typeof({name}) = 'integer', max(0, {name}), 0))) AS INTEGER)"
    for name in AMOUNTS
)
_VALUES = ", ".join(f":{name}" for name in AMOUNTS)
_ADDED = ", ".join(f"{name} = min({MOST}, {name} + excluded.{name})" for name in AMOUNTS)


def add(connection: apsw.Connection, key: UsageKey, used: Amounts) -> None:
    """Add amounts to a row. A sum stays at the largest amount."""
    connection.execute(
        f"""
        INSERT INTO usage (day, session_id, agent_group_id, provider, model, {", ".join(AMOUNTS)})
        VALUES (:day, :session_id, :agent_group_id, :provider, :model, {_VALUES})
        ON CONFLICT (day, session_id, agent_group_id, provider, model) DO UPDATE SET {_ADDED}
        """,  # noqa: S608 -- the names of our columns
        {
            "day": key.day,
            "session_id": key.session_id,
            "agent_group_id": key.agent_group_id,
            "provider": key.provider,
            "model": key.model,
            **{name: getattr(used, name) for name in AMOUNTS},
        },
    )


def on_day(connection: apsw.Connection, day: str) -> Iterator[tuple[str, str, Amounts]]:
    """Yield each session of a day with its agent and its amounts."""
    rows = connection.execute(
        f"""
        SELECT session_id, agent_group_id, {_SUMS} FROM usage WHERE day = :day
        GROUP BY session_id, agent_group_id
        """,  # noqa: S608 -- constants of this module
        {"day": day},
    ).fetchall()
    for session_id, agent_group_id, *amounts in rows:
        yield str(session_id), str(agent_group_id), _amounts(amounts)


def used_on(connection: apsw.Connection, day: str, scope: str) -> Mapping[Measure, int]:
    """Return what a scope has used on a day. An unknown scope has used nothing."""
    kind, _, id_ = scope.partition(":")
    rows = connection.execute(
        f"""
        SELECT {_SUMS} FROM usage WHERE day = :day AND (:kind = 'day'
          OR (:kind = 'agent' AND agent_group_id = :id) OR (:kind = 'session' AND session_id = :id))
        """,  # noqa: S608 -- constants of this module
        {"day": day, "kind": kind, "id": id_},
    ).fetchall()
    amounts = _amounts(rows[0])
    return {measure: amounts.of(measure) for measure in MEASURES}


def by(connection: apsw.Connection, group: Group, since: str, until: str) -> list[tuple[str, Amounts]]:
    """Return the amounts of some days by day, agent, session or model. Days are in order, others by cost.

    What sessions have counted themselves belongs to no model.
    """
    order = "name" if group == "day" else "total(micro_dollars) DESC, total(output_tokens) DESC, name"
    rows = connection.execute(
        f"""
        SELECT {_COLUMNS[group]} AS name, {_SUMS} FROM usage
        WHERE day >= :since AND day <= :until AND (:group <> 'model' OR model <> '')
        GROUP BY name ORDER BY {order}
        """,  # noqa: S608 -- constants of this module
        {"since": since, "until": until, "group": group},
    ).fetchall()
    return [(str(name), _amounts(amounts)) for name, *amounts in rows]


def unpriced(connection: apsw.Connection, day: str) -> list[str]:
    """Return the models that were used on a day and whose price is not known."""
    rows = connection.execute(
        "SELECT DISTINCT model FROM usage WHERE day = :day AND unpriced_tokens > 0 ORDER BY model",
        {"day": day},
    ).fetchall()
    return [str(model) for (model,) in rows]


def _amounts(values: Iterable[object]) -> Amounts:
    return Amounts(**{name: int(str(value)) for name, value in zip(AMOUNTS, values, strict=True)})
