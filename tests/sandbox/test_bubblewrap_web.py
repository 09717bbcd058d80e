"""The web of an agent in a real sandbox: a model calls the tool `bash`, which runs curl."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import TextContent
from nanoclaw.testing import FakeChannel, FakeInternet, ModelAnswer, ModelCall, open_fake_model, wire
from nanoclaw.testing.models.answers import Reaction
from nanoclaw.testing.models.model import FakeModel
from tests.gateway.upstreams import Asked, Reply, open_upstream
from tests.host.homes import GUARD_S, config
from tests.sandbox.needed import need_bubblewrap

pytestmark = pytest.mark.slow

Opened = tuple[Host, FakeChannel, FakeModel]


async def page(_asked: Asked, reply: Reply) -> None:
    await reply.whole(b"the page")


@asynccontextmanager
async def a_shell(home: Path, internet: FakeInternet, *commands: str) -> AsyncIterator[Opened]:
    """Open a host whose model runs one command in each turn."""
    need_bubblewrap()
    answers = list[Reaction]()
    for command in commands:
        answers += [ModelAnswer("", [ModelCall("bash", {"command": command})]), "done"]
    channel = FakeChannel()
    async with open_fake_model(answers) as model:
        table = {"provider": "openai", "name": "fake-model", "base_url": f"{model.url}/v1"}
        settings = config(home, sandbox={"runtime": "bubblewrap"}, model=table)
        with trio.fail_after(GUARD_S * 2):
            async with open_host(settings, channels=[channel], seams=Seams(internet=internet)) as host:
                await wire(host, channel.address("ann"))
                await host.admin.roles.grant("fake:ann", "owner")
                yield host, channel, model


async def turn(channel: FakeChannel, model: FakeModel, number: int) -> str:
    """Start a turn, and return what its command has printed."""
    await channel.say("go", chat="ann", user="ann", event_id=str(number))
    while sum(_is(each, "done") for each in channel.sent) < number:
        await channel.wait_for(len(channel.sent) + 1)
    return str(model.requests[-1].body["messages"][-1]["content"])


def _is(sent: object, text: str) -> bool:
    content = getattr(sent, "content", None)
    return isinstance(content, TextContent) and content.text == text


async def test_a_site_is_reached_once_the_owner_has_allowed_it(tmp_path: Path) -> None:
    get = "curl -sS http://example.org/"
    async with open_upstream(page) as server:
        internet = FakeInternet.of({"example.org:80": server.port})
        async with a_shell(tmp_path, internet, get, get) as (host, channel, model):
            refused = await turn(channel, model, 1)
            await host.admin.network.allow("main", "example.org")
            await turn(channel, model, 2)  # the agent is told of the decision in this turn, or before it
    assert "the owner has not allowed example.org yet" in refused
    assert "the page" in str(model.requests[-1].body["messages"])


async def test_the_host_s_loopback_and_metadata_services_are_out_of_reach(tmp_path: Path) -> None:
    async with open_upstream(page) as server:
        direct = f"curl -sS --noproxy '*' -m 3 http://127.0.0.1:{server.port}/"
        proxied = f"curl -sS --noproxy '' -m 3 http://127.0.0.1:{server.port}/"
        metadata = "curl -sS -m 3 http://169.254.169.254/latest/meta-data/"
        models = "curl -sS -m 3 --unix-socket $NANOCLAW_WEB_SOCKET http://gateway/model/v1/models"
        async with a_shell(tmp_path, FakeInternet(), direct, proxied, metadata, models) as (
            _,
            channel,
            model,
        ):
            told = [await turn(channel, model, number) for number in (1, 2, 3, 4)]
    assert server.asked == []
    assert all("the page" not in each for each in told)
    assert all("Private addresses are never reached" in each for each in told[1:3])
    assert "this is a proxy" in told[3]
