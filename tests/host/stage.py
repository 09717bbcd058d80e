"""A host with one session whose container is hostile, and one healthy session."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import SessionPaths
from nanoclaw.records.status import SessionDetails
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, WatchedExecutor, config, crashed, rows
from tests.host.runtimes import FakeRuntime
from tests.host.test_deliveries import container_runs, says

Statement = tuple[str, dict[str, Any]]


@define(eq=False)
class Stage:
    """A host with a session that is attacked and one that is not."""

    home: Path
    channel: FakeChannel = field(factory=FakeChannel)
    runtime: FakeRuntime = field(factory=FakeRuntime)
    executor: WatchedExecutor = field(factory=WatchedExecutor)
    sessions: dict[str, str] = field(factory=dict)
    messages: dict[str, str] = field(factory=dict)
    """The id of the first message of each session, by chat."""
    host: Host = field(init=False)
    _healthy: int = 1

    def paths(self, chat: str = "bad") -> SessionPaths:
        [root] = (self.home / "data" / "sessions").glob(f"*/{self.sessions[chat]}")
        return SessionPaths(root)

    def writes(self, *statements: Statement, chat: str = "bad") -> None:
        """Commit as the runner of a chat's session."""
        container_runs(self.paths(chat), *statements)

    def wake(self) -> None:
        """Cause a file event like that of a commit."""
        hint = self.paths().outbound_dir / "hint-journal"
        hint.touch()
        hint.unlink()

    async def details(self, fits: Callable[[SessionDetails], object]) -> SessionDetails:
        """Return the details of the attacked session, once they fit."""

        async def look() -> SessionDetails | None:
            details = await self.host.sessions.status(self.sessions["bad"], GUARD_S)
            return details if details is not None and fits(details) else None

        return await self.executor.until(look)

    async def neighbour_goes_on(self) -> None:
        """Check that the other session delivers, and that no session has crashed."""
        id_ = f"healthy-{self._healthy}"
        self.writes(says(id_, self._healthy * 2 - 1, None), chat="good")
        self._healthy += 1
        await self.delivered(id_)
        assert crashed(self.host, "sessions") == set()

    async def delivered(self, id_: str) -> None:
        n = 1
        while id_ not in self.ids():
            n = len(await self.channel.wait_for(n)) + 1

    def ids(self) -> list[str]:
        """Return the ids of the delivered messages."""
        return [one.message_out_id for one in self.channel.sent]

    def ledger(self) -> dict[str, tuple[str, str | None]]:
        sql = "SELECT message_out_id, coalesce(f.status, d.status), error FROM deliveries d"
        found = rows(self.paths().inbound_db, f"{sql} LEFT JOIN delivered f USING (message_out_id)")
        return {id_: (status, error) for id_, status, error in found}

    @asynccontextmanager
    async def life(self, **changes: Any) -> AsyncIterator[None]:
        seams = Seams(runtime=self.runtime, executor=self.executor)
        with trio.fail_after(GUARD_S):
            async with open_host(config(self.home, **changes), channels=[self.channel], seams=seams) as host:
                self.host = host
                for chat in ("bad", "good"):
                    await wire(host, self.channel.address(chat), agent=chat)
                    routed = await self.channel.say("x", chat=chat, event_id=f"first-{chat}")
                    [self.sessions[chat]], [self.messages[chat]] = routed.session_ids, routed.message_ids
                await self.runtime.wait_started(2)
                yield


@asynccontextmanager
async def a_stage(home: Path, **changes: Any) -> AsyncIterator[Stage]:
    stage = Stage(home)
    async with stage.life(**changes):
        yield stage


def row(**values: object) -> Statement:
    """Return a valid row of `messages_out`, except for the given values."""
    good = {"id": "out", "seq": 1, "timestamp": "", "kind": "chat", "content": '{"text": "never"}'}
    given: dict[str, object] = {**good, **values}
    names, places = ", ".join(given), ", ".join(f":{name}" for name in given)
    return f"INSERT INTO messages_out ({names}) VALUES ({places})", given  # noqa: S608 -- a test's own names


COLUMNS = {
    "messages_out": "id, seq, in_reply_to, timestamp, deliver_after, recurrence, kind, platform_id, "
    "channel_type, thread_id, content, turn_id",
    "processing_ack": "message_id, status, status_changed, attempt, retry_at, error, turn_id",
}


def relaxed(table: str) -> list[Statement]:
    """Recreate a table without keys, types or constraints."""
    return [(f"DROP TABLE {table}", {}), (f"CREATE TABLE {table} ({COLUMNS[table]})", {})]


def assert_says(pattern: str, text: str | None) -> None:
    assert text is not None
    assert any(part in text for part in pattern.split("|")), text
