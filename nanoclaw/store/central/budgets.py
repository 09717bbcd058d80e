"""Rows of `budgets`, `budget_resets` and `budget_alerts`: limits, resets, and sentences for the owner."""

from collections.abc import Iterable

import apsw

from nanoclaw.records import BudgetAlert, BudgetReset, BudgetRow
from nanoclaw.store.engine import rows


def put(connection: apsw.Connection, row: BudgetRow) -> None:
    """Set a limit. It replaces the one that the scope had for this measure."""
    connection.execute(
        """
        INSERT INTO budgets (scope, measure, amount, set_at) VALUES (:scope, :measure, :amount, :set_at)
        ON CONFLICT (scope, measure) DO UPDATE SET amount = excluded.amount, set_at = excluded.set_at
        """,
        rows.values(row),
    )


def forget(connection: apsw.Connection, scope: str, measure: str) -> None:
    """Remove a limit that was set, so that the configuration's holds again."""
    connection.execute("DELETE FROM budgets WHERE scope = ? AND measure = ?", (scope, measure))


def forget_scope(connection: apsw.Connection, scope: str) -> None:
    """Remove all limits and the reset of a scope that no longer exists."""
    for table in ("budgets", "budget_resets"):
        connection.execute(f"DELETE FROM {table} WHERE scope = ?", (scope,))  # noqa: S608 -- two constants


def every(connection: apsw.Connection) -> list[BudgetRow]:
    """Return all limits that were set. Rows that cannot be read are left out."""
    found = connection.execute("SELECT scope, measure, amount, set_at FROM budgets")
    return rows.many(BudgetRow, found)


# -- resets --------------------------------------------------------------------


def reset(connection: apsw.Connection, found: BudgetReset) -> None:
    """Store a reset. It replaces the earlier one of its scope."""
    connection.execute(
        """
        INSERT OR REPLACE INTO budget_resets (
          scope, day, turns, tool_calls, messages, tokens, micro_dollars, reset_at
        )
        VALUES (:scope, :day, :turns, :tool_calls, :messages, :tokens, :micro_dollars, :reset_at)
        """,
        rows.values(found),
    )


def resets(connection: apsw.Connection, day: str) -> list[BudgetReset]:
    """Return the resets that count on a day."""
    found = connection.execute(
        """
        SELECT scope, day, turns, tool_calls, messages, tokens, micro_dollars, reset_at
        FROM budget_resets WHERE day = ?
        """,
        (day,),
    )
    return rows.many(BudgetReset, found)


# -- alerts --------------------------------------------------------------------

_ALERT = "SELECT id, day, text, session_id, told, created_at FROM budget_alerts"


def raise_alerts(connection: apsw.Connection, alerts: Iterable[BudgetAlert]) -> None:
    """Store alerts, each once."""
    connection.executemany(
        """
        INSERT OR IGNORE INTO budget_alerts (id, day, text, session_id, told, created_at)
        VALUES (:id, :day, :text, :session_id, :told, :created_at)
        """,
        [rows.values(alert) for alert in alerts],
    )


def alerts(connection: apsw.Connection, day: str) -> list[BudgetAlert]:
    """Return the alerts of a day, in the order in which they were raised."""
    return rows.many(
        BudgetAlert,
        connection.execute(f"{_ALERT} WHERE day = ? ORDER BY julianday(created_at), id", (day,)),
    )


def untold(connection: apsw.Connection, since: str) -> list[BudgetAlert]:
    """Return the alerts that nobody was told yet, in the order in which they were raised.

    Those from before a day are left out.
    """
    return rows.many(
        BudgetAlert,
        connection.execute(
            f"""
            {_ALERT} WHERE day >= :since AND NOT told ORDER BY julianday(created_at), id
            """,
            {"since": since},
        ),
    )


def choose_teller(connection: apsw.Connection, id_: str, session_id: str) -> None:
    """Choose the session that tells an alert."""
    connection.execute("UPDATE budget_alerts SET session_id = ? WHERE id = ?", (session_id, id_))


def mark_told(connection: apsw.Connection, id_: str) -> None:
    """Record that an alert is in the ledger of its session, so that it need not be told again."""
    connection.execute("UPDATE budget_alerts SET told = 1 WHERE id = ?", (id_,))


def drop_alerts(connection: apsw.Connection, before: str) -> None:
    """Delete the alerts of the days before one."""
    connection.execute("DELETE FROM budget_alerts WHERE day < ?", (before,))
