"""Whole hosts whose agents run under bubblewrap."""

from pathlib import Path

import pytest

from nanoclaw.testing import FakeChannel
from tests.host.homes import statuses
from tests.sandbox.hosts import sandboxed

pytestmark = pytest.mark.slow


async def test_a_message_is_answered_from_a_sandbox(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with sandboxed(tmp_path, channel):
        await channel.say("hello", event_id="1")
        await channel.reply_to("1")
        assert await channel.wait_settled("1") == "completed"
    assert statuses(tmp_path) == ["completed"]
