"""The provider `scripted` plays a file behind the real agent loop."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from agent_runner.errors import ProviderError, ProviderFatal
from agent_runner.providers import load
from nanoclaw.testing import FakeModel
from nanoclaw.testing.conformance import ProviderUnderTest, provider_checks
from tests.loop.talk import Talk, talking
from tests.loop.test_providers_conform import NAMES, TOOL_QUESTION

CALL = {"name": "send_message", "arguments": {"text": "wait"}}
SCRIPT = {
    "turn": [
        {"match": TOOL_QUESTION, "step": [{"calls": [CALL]}, {"text": "done"}]},
        {"match": "busy", "step": [{"error": "retry", "times": 4}, {"text": "unreachable"}]},
        {"match": "slow", "step": [{"delay_s": 30, "text": "at last, {text}"}]},
        {"step": [{"text": "yes"}]},
    ]
}


@asynccontextmanager
async def playing(script: object, name: str = "script.json") -> AsyncIterator[Talk]:
    async with talking("scripted", FakeModel(()), name=name) as talk:
        text = script if isinstance(script, str) else json.dumps(script)
        (talk.context.workspace / name).write_text(text)
        yield talk


async def test_it_calls_tools_and_answers() -> None:
    async with playing(SCRIPT) as talk:
        assert await talk.say(TOOL_QUESTION) == ["done"]
        assert await talk.say("hi") == ["yes"]
    assert talk.tools.calls == [("send_message", {"text": "wait"})]


async def test_it_takes_its_time_and_repeats_what_was_said() -> None:
    async with playing(SCRIPT) as talk:
        assert await talk.say("be slow & steady") == ["at last, be slow & steady"]
    assert trio.current_time() == pytest.approx(30)


async def test_it_fails_as_often_as_it_is_told() -> None:
    async with playing({"turn": [{"step": [{"error": "retry", "times": 4, "text": "now"}]}]}) as talk:
        with pytest.raises(ProviderError):
            await talk.say("hi")
        assert await talk.say("hi") == ["now"]


async def test_a_list_of_steps_is_a_script_for_any_message() -> None:
    async with playing([{"calls": [CALL]}, {"text": "done"}]) as talk:
        assert await talk.say("hi") == ["done"]
        assert await talk.say("hi") == ["done"]


async def test_it_reads_toml() -> None:
    async with playing('[[turn]]\n[[turn.step]]\ntext = "hi"\n', "script.toml") as talk:
        assert await talk.say("hello") == ["hi"]


@pytest.mark.parametrize(
    "script",
    [
        "",
        "{",
        "[]",
        '{"turn": 1}',
        '{"turn": [{"step": [{"txt": "hi"}]}]}',
        '{"turn": [{"step": [{"error": "x"}]}]}',
    ],
)
async def test_a_bad_script_is_told_to_the_user(script: str) -> None:
    async with playing(script) as talk:
        with pytest.raises(ProviderFatal) as caught:
            await talk.say("hi")
    assert caught.value.for_user.startswith("My script cannot be played: script.json: ")


@pytest.mark.parametrize("name", NAMES)
async def test_it_conforms(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("script") / "script.json"
    path.write_text(json.dumps(SCRIPT))

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(
            load("scripted"), tool_question=TOOL_QUESTION, model_settings={"name": str(path)}
        )

    [check] = [one for one in provider_checks(opens) if one.name == name]
    await check()
