"""Session files of another build (contract 2): adopted on open; nothing is lost or sent again."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from nanoclaw.host import open_host
from nanoclaw.records import TextContent
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config, only_session

INBOUND = """
CREATE TABLE messages_in (
  id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
  status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,
  platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL);
CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);
CREATE TABLE destinations (
  name TEXT PRIMARY KEY, display_name TEXT, type TEXT NOT NULL, channel_type TEXT, platform_id TEXT,
  agent_group_id TEXT);
CREATE TABLE session_routing (
  id INTEGER PRIMARY KEY CHECK (id = 1), channel_type TEXT, platform_id TEXT, thread_id TEXT);
INSERT INTO messages_in (id, seq, kind, timestamp, status, content, channel_type, platform_id) VALUES
  ('done', 2, 'chat', '2025-01-01 00:00:00', 'completed', '{"id": "done", "text": "a"}', 'fake', 'chat'),
  ('open', 8, 'chat', '2025-01-01 00:00:00', 'pending',
   '{"id": "open", "text": "still open", "sender": "u", "senderId": "fake:u"}', 'fake', 'chat');
INSERT INTO delivered VALUES ('out-old', '2025-01-01 00:00:00');
"""
OUTBOUND = """
CREATE TABLE messages_out (
  id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL, deliver_after TEXT,
  recurrence TEXT, kind TEXT NOT NULL, platform_id TEXT, channel_type TEXT, thread_id TEXT,
  content TEXT NOT NULL);
CREATE TABLE processing_ack (
  message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL);
CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO messages_out (id, seq, timestamp, kind, content, channel_type, platform_id) VALUES
  ('out-old', 3, '2025-01-01 00:00:00', 'chat', '{"text": "delivered before"}', 'fake', 'chat'),
  ('out-open', 5, '2025-01-01 00:00:00', 'chat', '{"text": "not delivered yet"}', 'fake', 'chat');
INSERT INTO processing_ack VALUES ('done', 'completed', '2025-01-01 00:00:00');
"""


def replace(file: Path, sql: str) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(sql)


@pytest.mark.parametrize("outbound", [True, False], ids=["both files", "inbound alone"])
async def test_files_of_another_build_are_adopted_with_their_open_messages(
    tmp_path: Path, *, outbound: bool
) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await wire(host, channel.address())
            await channel.say("first", event_id="first")
            await channel.reply_to("first")
        channel.sent.clear()
        paths = only_session(tmp_path)
        replace(paths.inbound_db, INBOUND)
        if outbound:
            replace(paths.outbound_db, OUTBOUND)
        async with open_host(config(tmp_path), channels=[channel]):
            await channel.say("new", event_id="new")
            await channel.reply_to("new")
            await channel.reply_to("open")
            if outbound:
                await channel.wait_for(3)
    texts = sorted(sent.content.text for sent in channel.sent if isinstance(sent.content, TextContent))
    expected = ["echo: new", "echo: still open", *(["not delivered yet"] if outbound else [])]
    assert [text for text in texts if text != "echo: first"] == expected


async def test_a_file_damaged_under_a_living_session_buries_it_and_events_are_parked(
    tmp_path: Path,
) -> None:
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            await wire(host, channel.address())
            await wire(host, channel.address("other"), agent="other")
            [session] = (await channel.say("first", event_id="first")).session_ids
            await channel.reply_to("first")
            await channel.wait_settled("first")
            [root] = (tmp_path / "data" / "sessions").glob(f"*/{session}")
            (root / "inbound" / "inbound.db").write_bytes(random.Random(1).randbytes(40_000))
            await channel.say("second", event_id="second")
            assert [event.session_id for event in await host.admin.parked.list()] == [session]
            await channel.say("elsewhere", chat="other", event_id="elsewhere")
            await channel.reply_to("elsewhere")
