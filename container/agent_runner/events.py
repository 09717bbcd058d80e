"""Events for people, and the running tool for the host's hang detection. Both are in outbound.db."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from attrs import define, field, frozen

from agent_runner.clock import Clock
from agent_runner.errors import UnstorableError
from agent_runner.rows import insert
from agent_runner.store import Connection, Writer
from agent_runner.text import dump
from agent_runner.times import to_text

Kind = Literal["turn started", "turn ended", "tool started", "tool ended", "usage", "error"]
KEPT = 10_000
LONGEST_DATA = 16_384
"""Characters of JSON in an event of a provider."""


@frozen
class RunningTool:
    """A tool that is running. `timeout` is what it declares, in seconds."""

    name: str
    timeout: float
    started_at: datetime


def record(
    connection: Connection, at: datetime, kind: Kind, message_id: str | None = None, /, **data: object
) -> None:
    """Add an event, and drop those older than the newest 10,000."""
    row = {"at": to_text(at), "kind": kind, "message_id": message_id, "data": dump(data)}
    insert(connection, "events", row, at)
    oldest = connection.last_insert_rowid() - KEPT
    connection.execute("DELETE FROM events WHERE id <= :oldest", {"oldest": oldest})


@frozen
class Tokens:
    """Tokens that models read and wrote for the session, as far as its events say."""

    read: int
    written: int


def tokens(connection: Connection) -> Tokens:
    """Return the sums over the events of kind usage that have `input_tokens` and `output_tokens`."""
    rows = connection.execute(
        """
        SELECT
          total(json_extract(data, '$.input_tokens')), total(json_extract(data, '$.output_tokens'))
        FROM events WHERE kind = 'usage' AND json_valid(data)
        """
    ).fetchall()
    ((read, written),) = rows
    return Tokens(int(float(str(read))), int(float(str(written))))


def show_tool(connection: Connection, tool: RunningTool, at: datetime) -> None:
    """Show the running tool to the host."""
    row = {
        "id": 1,
        "current_tool": tool.name,
        "tool_declared_timeout_ms": int(tool.timeout * 1000),
        "tool_started_at": to_text(tool.started_at),
        "updated_at": to_text(at),
    }
    insert(connection, "container_state", row, at, replace=True)


def hide_tool(connection: Connection) -> None:
    """Show the host that no tool is running."""
    connection.execute("DELETE FROM container_state")


def is_tool_shown(connection: Connection) -> bool:
    """Return True if a tool is shown as running."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM container_state)").get)


@define(eq=False)
class TurnUsage:
    """The usage events of the open turn. They are committed with its outcome, to spare a commit before it."""

    _turn_id: str | None = field(default=None, init=False)
    _held: list[tuple[datetime, Mapping[str, object]]] = field(factory=list, init=False)

    @contextmanager
    def of(self, turn_id: str) -> Iterator[None]:
        """Take the events of this turn while the block runs, which ends with the commit of the outcome."""
        self._turn_id = turn_id
        try:
            yield
        finally:
            self._turn_id, self._held = None, []

    def hold(self, turn_id: str | None, at: datetime, fields: Mapping[str, object]) -> bool:
        """Take an event. Return False if it is not one of the open turn."""
        if turn_id is None or turn_id != self._turn_id:
            return False
        self._held.append((at, fields))
        return True

    def write(self, connection: Connection) -> None:
        """Add the events, in the caller's transaction."""
        for at, fields in self._held:
            record(connection, at, "usage", **fields)


@frozen
class StoredEvents:
    """The events of a provider. Implements `agent_runner.providers.EventLog`."""

    _outbound: Writer
    _clock: Clock
    _usage: TurnUsage

    async def record(
        self, kind: Literal["usage", "error"], data: Mapping[str, object], /, turn_id: str | None = None
    ) -> None:
        """Commit an event, or hold it until the open turn is committed. Raises UnstorableError."""
        fields = {**check(kind, data), **({} if turn_id is None else {"turn_id": turn_id})}
        now = self._clock.now()
        if kind == "usage" and self._usage.hold(turn_id, now, fields):
            return
        await self._outbound.write(lambda connection: record(connection, now, kind, **fields))


def check(kind: str, data: Mapping[str, object]) -> Mapping[str, object]:
    """Return the data of a provider's event. Raises UnstorableError: other people write providers."""
    if kind not in ("usage", "error"):
        raise UnstorableError(f"a provider records events of kind usage or error, not {kind!r:.80}")
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise UnstorableError(f"the data of a {kind} event must be a mapping with text keys")
    try:
        size = len(dump(data))
    except (TypeError, ValueError, RecursionError) as error:
        raise UnstorableError(f"the data of a {kind} event is not JSON: {error}") from error
    if size > LONGEST_DATA:
        raise UnstorableError(f"a {kind} event has {size:,} characters of JSON; the most is {LONGEST_DATA:,}")
    return data
