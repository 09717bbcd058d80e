import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio

from agent_runner.system import HttpxClients
from nanoclaw.config.model import KeyConfig
from nanoclaw.gateway import Caller, HttpModels, Model, Proxy, SessionModels, open_gateway
from nanoclaw.system.supervision import Supervision
from tests.gateway.upstreams import Asked, Reply, open_upstream

KEY = "sk-secret-0123456789"


async def test_a_request_over_the_socket_reaches_the_server_with_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    first, go = trio.Event(), trio.Event()

    async def answer(_asked: Asked, reply: Reply) -> None:
        await reply.start()
        await reply.send(b"one")
        first.set()
        await go.wait()
        await reply.send(b"two")
        await reply.end()

    async with open_upstream(answer) as upstream:
        models = SessionModels(Model("openai", "m", f"{upstream.url}/v1", KeyConfig(env="MY_KEY"), 100, 10.0))
        client = HttpModels()
        supervision = Supervision(Random(1))
        async with (
            supervision.open("host", under=None, policy=__import__("actors").Policy()) as root,
            open_gateway(Proxy(client), supervision, under=root) as gateway,
            gateway.door(tmp_path / ("x" * 120) / "model.sock", Caller("s1", "a1", models)),
            HttpxClients(tmp_path / ("x" * 120) / "model.sock").open() as http,
        ):
            async with http.stream(
                "POST", "http://gateway/model/chat/completions", content=b'{"stream":true}', headers={"authorization": "Bearer x"}
            ) as response:
                chunks = response.aiter_bytes()
                assert await anext(chunks) == b"one"
                go.set()
                assert await anext(chunks) == b"two"
                assert [each async for each in chunks] == []
            print(upstream.asked)
        await client.aclose()
    assert upstream.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(upstream.asked[0].body)["stream_options"] == {"include_usage": True}
