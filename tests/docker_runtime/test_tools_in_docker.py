"""The tools of an agent in a real container, its way to the web, and its log, through one container."""

import json
from pathlib import Path

import trio

from nanoclaw.host import Seams
from nanoclaw.records import TextContent
from nanoclaw.testing import FakeChannel, FakeInternet
from tests.docker_runtime.docker_homes import GUARD_S, containers, docker_host, install_of
from tests.engine.fixtures import EngineForTests
from tests.gateway.upstreams import Asked, Reply, open_upstream

ORPHAN = "(sleep 0.5 & echo $! >orphan); echo started"
REAPED = "while [ -e /proc/$(cat orphan) ]; do sleep 0.05; done; echo reaped"


async def page(_asked: Asked, reply: Reply) -> None:
    await reply.whole(b"the page")


async def said(channel: FakeChannel, number: int, tool: str, **arguments: object) -> str:
    """Have the provider `echo` call a tool, and return the result."""
    await channel.say(f"!{tool} {json.dumps(arguments)}", event_id=str(number), user="ann")
    content = (await channel.reply_to(str(number))).content
    assert isinstance(content, TextContent)
    return content.text


async def test_tools_the_web_background_programs_and_stop_work_in_one_container(
    tmp_path: Path, engine: EngineForTests
) -> None:
    channel, url = FakeChannel(), "http://example.org/"
    async with open_upstream(page) as server:
        seams = Seams(internet=FakeInternet.of({"example.org:80": server.port}))
        with trio.fail_after(GUARD_S):
            async with docker_host(tmp_path, engine, channel, seams=seams) as host:
                await host.admin.roles.grant("fake:ann", "owner")  # only admins may stop a turn
                assert await said(channel, 1, "bash", command="mkdir a && cd a && echo hi >b.txt && pwd") == (
                    "/workspace/agent/a\n[exit code 0]"
                )
                [before] = containers(engine.engine, await install_of(host))
                assert await said(channel, 2, "bash", command="pwd; cat b.txt") == (
                    "/workspace/agent/a\nhi\n[exit code 0]"
                )
                assert await said(channel, 3, "read_file", path="/workspace/agent/a/b.txt") == "1\thi"
                assert "is read-only" in await said(
                    channel, 4, "write_file", path="/workspace/in/inbox/x", content=""
                )
                refused = await said(channel, 5, "web_fetch", url=url)
                assert "the owner has not allowed example.org yet" in refused
                [agent] = await host.admin.agents.list()
                await host.admin.network.allow(agent.id, "example.org")
                assert "the page" in await said(channel, 6, "web_fetch", url=url)
                assert "started" in await said(channel, 7, "bash", command=ORPHAN)
                reaped = await said(channel, 8, "bash", command=REAPED, timeout_s=20)
                assert reaped == "reaped\n[exit code 0]"
                await channel.say('!bash {"command": "echo >began; sleep 600"}', event_id="9", user="ann")
                began = next((tmp_path / "groups").glob("*/workspace")) / "a" / "began"
                while not began.exists():  # noqa: ASYNC110 -- a container has no event
                    await trio.sleep(0.02)
                await channel.say("/stop", event_id="10", user="ann")
                await channel.reply_to("10")
                assert "hi" in await said(channel, 11, "bash", command="cat b.txt")
                [after] = containers(engine.engine, await install_of(host))
                assert after["Id"] == before["Id"]
