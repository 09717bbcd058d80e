"""A real host, a real runner and a server on loopback: what a model takes is counted, and then refused."""

import json
import sys
from pathlib import Path

import pytest
import trio

from nanoclaw.host import open_host
from nanoclaw.records import TextContent
from nanoclaw.testing import FakeChannel, wire
from tests.gateway.stage import VARIABLE
from tests.gateway.upstreams import Asked, Reply, open_upstream
from tests.host.homes import GUARD_S, config

RUNNER = (sys.executable, str(Path(__file__).parents[1] / "gateway" / "asking_runner.py"))
ASK = "POST /model/chat/completions"
USAGE = {"prompt_tokens": 700, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 200}}


async def counting(_asked: Asked, reply: Reply) -> None:
    await reply.whole(json.dumps({"model": "m-2026-01-01", "choices": [], "usage": USAGE}).encode())


async def test_a_runner_is_refused_once_the_money_of_the_day_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "sk-secret")
    channel = FakeChannel()
    with trio.fail_after(GUARD_S):
        async with open_upstream(counting) as upstream:
            model = {"provider": "openai", "base_url": f"{upstream.url}/v1", "name": "m"}
            prices = {"m": {"input": 2.0, "output": 10.0, "cached_input": 0.5}}
            settings = config(
                tmp_path,
                **{"runtime.command": RUNNER, "model": {**model, "key": {"env": VARIABLE}}},
                **{"prices": prices, "budgets.day.money": 0.008},
            )
            async with open_host(settings, channels=[channel]) as host:
                await wire(host, channel.address(), agent="main")
                await channel.say(ASK, event_id="1")
                await channel.wait_for(1)
                [row] = await host.admin.usage.show(by="model")
                await channel.say(ASK, event_id="2")
                await channel.wait_for(2)
                await channel.say(ASK, event_id="3")
                *_, last = await channel.wait_for(3)
    assert (row.name, row.input, row.cached, row.output) == ("openai/m-2026-01-01", 500, 200, 300)
    assert row.micro_dollars == 500 * 2 + 100 + 300 * 10  # 200 tokens from the cache cost a half each
    assert isinstance(last.content, TextContent)
    assert last.content.text.startswith("My budget for today is used up ($0.0082 of $0.008")
    assert len(upstream.asked) == 2
