"""What happened, for people, and which tool is running, for the host's watchdog. Both in outbound.db."""

from datetime import datetime
from typing import Literal

from attrs import frozen

from agent_runner.store import Connection
from agent_runner.text import dump
from agent_runner.times import to_text

Kind = Literal["turn started", "turn ended", "tool started", "tool ended", "usage", "error"]
KEPT = 10_000


@frozen
class RunningTool:
    """A tool at work; `timeout` is what it declares, in seconds."""

    name: str
    timeout: float
    started_at: datetime


def record(
    connection: Connection, at: datetime, kind: Kind, message_id: str | None = None, /, **data: object
) -> None:
    """Add an event, and drop the one that is no longer among the newest 10,000."""
    connection.execute(
        "INSERT INTO events (at, kind, message_id, data) VALUES (:at, :kind, :message_id, :data)",
        {"at": to_text(at), "kind": kind, "message_id": message_id, "data": dump(data)},
    )
    oldest = connection.last_insert_rowid() - KEPT
    connection.execute("DELETE FROM events WHERE id <= :oldest", {"oldest": oldest})


def show_tool(connection: Connection, tool: RunningTool | None) -> None:
    """Say which tool is running; None when none is."""
    if tool is None:
        connection.execute("DELETE FROM container_state")
        return
    connection.execute(
        """
        INSERT OR REPLACE INTO container_state (id, current_tool, tool_declared_timeout_ms, tool_started_at)
        VALUES (1, :name, :timeout_ms, :started_at)
        """,
        {"name": tool.name, "timeout_ms": int(tool.timeout * 1000), "started_at": to_text(tool.started_at)},
    )


def tool_shown(connection: Connection) -> bool:
    """Whether a tool is said to be running."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM container_state)").get)
