"""Hosts with real runner processes, whose models are servers on loopback, behind the gateway."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from nanoclaw.host import Host, open_host
from nanoclaw.records import TextContent
from nanoclaw.testing import FakeChannel, ModelAnswer, ModelCall, ModelFailure, open_fake_model, wire
from nanoclaw.testing.models.answers import Reaction
from tests.host.homes import config
from tests.loop.fakellm_server import open_fakellm
from tests.loop.talk import PROVIDERS

GUARD_S = 60.0
VARIABLE = "TEST_MODEL_KEY"
KEY = "sk-test-0123456789"
BASES = {"anthropic": "", "openai": "/v1"}

pytestmark = pytest.mark.slow


@define(eq=False)
class Scene:
    host: Host
    channel: FakeChannel
    said: int = 0

    async def says(self, text: str, answers: int = 1) -> list[str]:
        """Say something, and return the agent's next texts."""
        self.said += 1
        before = len(self.channel.sent)
        await self.channel.say(text, event_id=str(self.said))
        sent = (await self.channel.wait_for(before + answers))[before:]
        return [each.content.text for each in sent if isinstance(each.content, TextContent)]


@asynccontextmanager
async def scene(home: Path, provider: str, url: str = "", **model: Any) -> AsyncIterator[Scene]:
    channel = FakeChannel()
    table = {"provider": provider, **model}
    if url:
        key = {"env": VARIABLE}
        table |= {"name": "fake-model", "base_url": f"{url}{BASES[provider]}", "key": key}
    with trio.fail_after(GUARD_S):
        async with open_host(config(home, model=table), channels=[channel]) as host:
            await wire(host, channel.address(), agent="main")
            yield Scene(host, channel)


def workspaces(home: Path) -> list[Path]:
    return list(home.glob("groups/*/workspace"))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_agent_answers_through_an_independent_fake(provider: str, tmp_path: Path) -> None:
    async with open_fakellm(tmp_path) as url, scene(tmp_path, provider, url) as it:
        assert await it.says("hello") == ["Hi there!"]
        assert await it.says("please tell them", 2) == ["dinner is ready", "I have told them."]


async def test_the_conversation_outlives_host_and_provider_and_the_key_stays_outside(tmp_path: Path) -> None:
    answers: list[Reaction] = [
        ModelAnswer("", [ModelCall("send_message", {"text": "wait"})]),
        "hello Ann",
        "you are Ann",
    ]
    async with open_fake_model(answers) as model:
        async with scene(tmp_path, "anthropic", model.url) as it:
            assert await it.says("I am Ann", 2) == ["wait", "hello Ann"]
        async with scene(tmp_path, "openai", model.url) as it:
            it.said = 1
            assert await it.says("who am I?") == ["you are Ann"]
    last = model.requests[-1]
    assert all(words in json.dumps(last.body) for words in ("I am Ann", "hello Ann", "who am I?"))
    assert model.requests[0].headers["x-api-key"] == KEY
    assert last.headers["authorization"] == f"Bearer {KEY}"
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


async def test_a_wrong_key_is_told_once_in_plain_words(tmp_path: Path) -> None:
    async with open_fake_model(ModelFailure(401)) as model, scene(tmp_path, "openai", model.url) as it:
        [text] = await it.says("hello")
        assert "refuses the key" in text
        model.answers = "now it works"
        assert await it.says("and now?") == ["now it works"]


async def test_a_script_is_a_trial_of_tools_and_errors_without_a_model(tmp_path: Path) -> None:
    script = {
        "turn": [
            {"match": "fail", "step": [{"error": "fatal", "text": "It failed, as you wanted."}]},
            {
                "match": "tool",
                "step": [
                    {"text": "hm", "calls": [{"name": "send_message", "arguments": {"text": "one"}}]},
                    {"delay_s": 0.1, "text": "two"},
                ],
            },
            {"step": [{"text": "You said: {text}"}]},
        ]
    }
    async with scene(tmp_path, "scripted") as it:
        [text] = await it.says("hello")
        assert "there is no script.toml or script.json" in text
        [workspace] = workspaces(tmp_path)
        (workspace / "script.json").write_text(json.dumps(script))
        assert await it.says("a tool, please", 2) == ["one", "two"]
        assert await it.says("fail, please") == ["It failed, as you wanted."]
        assert await it.says("<b>") == ["You said: <b>"]
