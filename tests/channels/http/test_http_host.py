"""A real host with the HTTP channel: the way of a message, and what a kill leaves."""

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import trio
import trio.testing
from attrs import define

import nanoclaw
from nanoclaw.channels.factory import configured_channels
from nanoclaw.channels.http.channel import HttpChannel
from nanoclaw.store import NotFound
from nanoclaw.testing import FakeChannel
from tests.channels.http.http_under_test import client
from tests.channels.killed_host import running, stored_texts
from tests.host.homes import config

WITHIN_S = 60.0
MESSAGES = 200


def free_port() -> int:
    """Return a port that is free now, for a host that is started again on it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def with_key(home: Path, port: int) -> str:
    """Make a home with the channel, and a key of ann, who talks to the agent `main`."""
    await trio.Path(home).mkdir()
    text = f'timezone = "UTC"\n[channels.http]\nlisten = "127.0.0.1:{port}"\nrequests_a_minute = 100000\n'
    await (trio.Path(home) / "config.toml").write_text(text)
    async with nanoclaw.open_host(config(home), channels=[FakeChannel()]) as host:
        await host.admin.agents.create("main")
        return (await host.admin.http_keys.add("ann", agent="main")).key


async def curl(*arguments: str) -> Any:
    """Return the JSON that curl prints."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments]
    done = await trio.run_process(command, capture_stdout=True)
    return json.loads(done.stdout)


# -- one host ---------------------------------------------------------------------


@define(eq=False)
class Running:
    """A host in this process, with the channel."""

    host: nanoclaw.Host
    channel: HttpChannel
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.channel.port}"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Running]:
    key = await with_key(tmp_path / "home", 0)
    found = config(tmp_path / "home", channels={"http": {"listen": "127.0.0.1:0"}})
    (channel,) = configured_channels(found)
    assert isinstance(channel, HttpChannel)
    async with nanoclaw.open_host(found, channels=[channel]) as host:
        await host.admin.chats.list()
        with trio.fail_after(WITHIN_S):
            while channel.port is None:
                await trio.testing.wait_all_tasks_blocked(0.01)
        yield Running(host, channel, key)


async def test_curl_posts_a_message_and_reads_the_answer(live: Running) -> None:
    bearer = ("--header", f"Authorization: Bearer {live.key}")
    posted = await curl(*bearer, "--json", '{"text": "hello"}', f"{live.url}/v1/messages")
    found = await curl(*bearer, f"{live.url}/v1/messages?wait=60&after={posted['seq']}")
    (message,) = found["messages"]
    assert (message["text"], message["in_reply_to"]) == ("echo: hello", posted["id"])


async def test_the_openai_client_talks_to_an_agent(live: Running) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{live.url}/v1", api_key=live.key, http_client=openai.DefaultAsyncHttpxClient()
    ) as client:
        assert [each.id async for each in client.models.list()] == ["main"]
        found = await client.chat.completions.create(
            model="main", messages=[{"role": "user", "content": "hello"}], user="conversation 1"
        )
        assert found.choices[0].message.content == "echo: hello"


async def test_a_user_whom_no_agent_knows_gets_no_answer(live: Running) -> None:
    key = (await live.host.admin.http_keys.add("bob")).key
    async with client(live.channel.port or 0, key) as bob:
        assert (await bob.get("/v1/models")).json()["data"] == []
        answer = await bob.post("/v1/messages", json={"text": "hello"})
        assert answer.status_code in {202, 403}
        assert answer.status_code == 403 or answer.json()["status"] == "held"


async def test_a_revoked_key_is_refused_at_once(live: Running) -> None:
    async with client(live.channel.port or 0, live.key) as ann:
        assert (await ann.get("/v1/messages")).status_code == 200
        (listed,) = await live.host.admin.http_keys.list()
        assert (listed.user, listed.channel) == ("http:ann", "http")
        assert live.key not in repr(listed)
        await live.host.admin.http_keys.revoke("ann")
        assert (await ann.get("/v1/messages")).status_code == 401
        with pytest.raises(NotFound):
            await live.host.admin.http_keys.revoke("ann")


async def test_no_file_has_the_key(live: Running) -> None:
    async with client(live.channel.port or 0, live.key) as ann:
        await ann.post("/v1/messages", json={"text": "hello"})
    files = [path for path in live.host.config.home.rglob("*") if path.is_file()]
    assert not [path for path in files if live.key.encode() in path.read_bytes()]


# -- a host that is killed ----------------------------------------------------------


async def post(ann: httpx2.AsyncClient, n: int) -> bool:
    """Post a message with an idempotency key of its own. Return True if it was accepted."""
    try:
        answer = await ann.post(
            "/v1/messages", json={"text": f"{n}"}, headers={"idempotency-key": f"key-{n}"}
        )
    except httpx2.TransportError:
        return False
    return answer.status_code == httpx2.codes.ACCEPTED


async def until_posted(ann: httpx2.AsyncClient, n: int) -> None:
    """Post until it is accepted: the host may not listen yet."""
    with trio.fail_after(WITHIN_S):
        while not await post(ann, n):
            await trio.testing.wait_all_tasks_blocked(0.05)


async def test_a_kill_in_the_middle_loses_no_accepted_message(tmp_path: Path) -> None:
    home, port, accepted = tmp_path / "home", free_port(), list[int]()
    key = await with_key(home, port)
    async with client(port, key) as ann, running(home) as process:
        await until_posted(ann, 0)
        for n in range(1, MESSAGES):
            if n == MESSAGES // 2:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(post, ann, n)  # it is cut off, before or after it is stored
                    process.kill()
            elif await post(ann, n):
                accepted.append(n)
    assert accepted
    assert set(map(str, accepted)) <= set(stored_texts(home))
    async with client(port, key) as ann, running(home):
        for n in range(MESSAGES):
            await until_posted(ann, n)  # a program that is not sure repeats all
    assert sorted(map(int, stored_texts(home))) == list(range(MESSAGES))
    assert stored_texts(home)[: len(accepted) + 1] == [f"{n}" for n in (0, *accepted)]
