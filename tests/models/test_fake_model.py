"""The fake model speaks both wire formats, with and without a socket, and misbehaves as it is told."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio

from nanoclaw.testing import FakeModel, ModelAnswer, ModelBreak, ModelCall, ModelFailure, open_fake_model

PATHS = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
WIRES = pytest.mark.parametrize("wire", PATHS)


@asynccontextmanager
async def served(*answers: Any) -> AsyncIterator[tuple[FakeModel, httpx2.AsyncClient]]:
    async with open_fake_model(answers) as model, httpx2.AsyncClient(timeout=5) as client:
        yield model, client


async def asked(model: FakeModel, client: httpx2.AsyncClient, wire: str, **body: object) -> httpx2.Response:
    message = {"role": "user", "content": "hi"}
    body = {"model": "m", "messages": [message], **body}
    return await client.post(f"{model.url}{PATHS[wire]}", json=body)


@WIRES
async def test_it_answers_over_http_and_records_the_request(wire: str) -> None:
    async with served("hello") as (model, client):
        found = (await asked(model, client, wire)).json()
    text = found["content"][0]["text"] if wire == "anthropic" else found["choices"][0]["message"]["content"]
    assert (text, model.requests[0].wire, model.requests[0].text) == ("hello", wire, "hi")


@WIRES
async def test_it_streams_text_and_calls(wire: str) -> None:
    async with served(ModelAnswer("hello", [ModelCall("add", {"a": 1})])) as (model, client):
        body = (await asked(model, client, wire, stream=True)).text
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    assert "".join(_deltas(wire, events)) == "hello"
    assert '"add"' in body


def _deltas(wire: str, events: list[Any]) -> list[str]:
    if wire == "anthropic":
        return [event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"]
    return [event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]]


@WIRES
async def test_it_fails_with_a_status_and_headers(wire: str) -> None:
    async with served(ModelFailure(429, headers={"retry-after": "3"})) as (model, client):
        found = await asked(model, client, wire)
    assert (found.status_code, found.headers["retry-after"]) == (429, "3")
    assert "ate limit" in found.json()["error"]["message"]


@WIRES
async def test_it_cuts_a_stream(wire: str) -> None:
    async with served(ModelBreak(kind="cut", text="abc")) as (model, client):
        with pytest.raises(httpx2.RemoteProtocolError):
            await asked(model, client, wire, stream=True)


async def test_it_lists_its_models() -> None:
    async with served() as (model, client):
        found = (await client.get(f"{model.url}/v1/models")).json()
    assert [each["id"] for each in found["data"]] == ["fake-model"]


async def test_a_silent_model_without_a_socket_lets_a_client_time_out_in_virtual_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    model = FakeModel(ModelBreak(kind="silent", text="abc"))
    async with model.open() as client:
        client.timeout = httpx2.Timeout(600)
        with pytest.raises(httpx2.ReadTimeout):
            await asked(model, client, "openai", stream=True)
    assert trio.current_time() == pytest.approx(600)
