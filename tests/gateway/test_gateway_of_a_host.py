"""The gateway in a real host with real runner processes: no key reaches them, and nothing keeps one."""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from nanoclaw.host import Host, open_host
from nanoclaw.recording import Record
from nanoclaw.records import TextContent
from nanoclaw.testing import FakeChannel, wire
from tests.gateway.stage import KEY, VARIABLE
from tests.gateway.upstreams import Asked, Reply, open_upstream
from tests.host.homes import GUARD_S, config

RUNNER = (sys.executable, str(Path(__file__).with_name("asking_runner.py")))


@define(eq=False)
class Scene:
    host: Host
    channel: FakeChannel
    _said: int = 0

    async def says(self, text: str) -> str:
        """Say something, and return the agent's answer."""
        self._said += 1
        before = len(self.channel.sent)
        await self.channel.say(text, event_id=str(self._said))
        content = (await self.channel.wait_for(before + 1))[-1].content
        assert isinstance(content, TextContent)
        return content.text


@asynccontextmanager
async def a_scene(
    home: Path, url: str, *, record: Record | None = None, **model: Any
) -> AsyncIterator[Scene]:
    channel = FakeChannel()
    table = {"provider": "openai", "base_url": f"{url}/v1", "key": {"env": VARIABLE}, "name": "m", **model}
    settings = config(home, **{"runtime.command": RUNNER, "runtime.pass_env": (VARIABLE,), "model": table})
    with trio.fail_after(GUARD_S):
        async with open_host(settings, channels=[channel], record=record) as host:
            await wire(host, channel.address(), agent="main")
            yield Scene(host, channel)


async def echoing(asked: Asked, reply: Reply) -> None:
    """Answer with all that was asked, as a server does that shows the key in its error."""
    told = {"headers": asked.headers, "target": asked.target}
    await reply.whole(json.dumps(told).encode(), headers=[("x-debug", asked.headers["authorization"])])


def files_below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (file for file in folder.rglob("*") if file.is_file())


async def test_a_runner_asks_its_model_and_no_file_and_no_process_has_the_key(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = Record(tmp_path / "recording")
    async with open_upstream(echoing) as upstream, a_scene(tmp_path, upstream.url, record=record) as scene:
        pid, name = json.loads(await scene.says("who"))
        environment = await trio.Path(f"/proc/{pid}/environ").read_bytes()
        said = await scene.says("POST /model/chat/completions")
    assert upstream.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert (said.startswith("200"), name) == (True, "m")
    assert KEY not in said
    assert b"NANOCLAW_MODEL_SOCKET=" in environment
    found = [file for file in files_below(tmp_path) if KEY.encode() in file.read_bytes()]
    assert (KEY.encode() in environment, found) == (False, [])
    output = capfd.readouterr()
    assert KEY not in output.out + output.err


async def test_a_runner_is_told_in_plain_words_why_it_gets_no_answer(tmp_path: Path) -> None:
    async with open_upstream(echoing) as upstream:
        missing = {"env": "NO_SUCH_KEY"}
        async with a_scene(
            tmp_path, upstream.url, key=missing, fallback={"base_url": "http://127.0.0.1:9"}
        ) as scene:
            no_key = await scene.says("POST /model/chat/completions")
            no_server = await scene.says("POST /fallback/chat/completions")
            no_path = await scene.says("GET /model/files")
    assert no_key.startswith("503")
    assert "NO_SUCH_KEY is not set" in no_key
    assert no_server.startswith("502")
    assert "http://127.0.0.1:9 cannot be reached" in no_server
    assert no_path.startswith("403")
    assert "nanoclaw_forbidden" in no_path
    assert upstream.asked == []


async def test_a_host_stops_within_two_seconds_while_an_answer_is_streamed(tmp_path: Path) -> None:
    begun, gone = trio.Event(), trio.Event()

    async def endless(_asked: Asked, reply: Reply) -> None:
        await reply.start()
        await reply.send(b"x")
        begun.set()
        await reply.gone()
        gone.set()

    async with open_upstream(endless) as upstream:
        async with a_scene(tmp_path, upstream.url) as scene:
            await scene.channel.say("POST /model/chat/completions", event_id="long")
            await begun.wait()
            began = trio.current_time()
        assert trio.current_time() - began < 2.0
        await gone.wait()
