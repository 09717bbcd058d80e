"""A host on Slack: nothing is lost or doubled when it dies, is away, or Slack asks for patience."""

from pathlib import Path

import pytest
import trio
from starlette.responses import Response

import nanoclaw
from nanoclaw import Address, ChannelUnavailable, Outgoing, TextContent
from nanoclaw.channels.factory import ChannelContext, SetupFailed
from nanoclaw.channels.slack.checking import check
from nanoclaw.host import Seams
from nanoclaw.system.foreign import ungrouped
from nanoclaw.testing.networks.slack import FakeSlack, open_fake_slack, rate_limited
from tests.bench.ingest import NoRuntime
from tests.channels.killed_host import prepare, running, stored_texts
from tests.channels.slack.slack_under_test import CHAT, USER, channel_of, config
from tests.host.homes import config as host_config

PLACE = Address("slack", CHAT)
GUARD_S = 120.0
"""An upper bound on a hang; nothing waits for it."""


async def seen(slack: FakeSlack, texts: set[str]) -> None:
    """Wait until people have seen these texts."""
    with trio.fail_after(GUARD_S):
        while not texts <= set(slack.texts(CHAT)):
            await slack.changed.wait()


async def test_a_message_is_answered(tmp_path: Path) -> None:
    async with (
        open_fake_slack() as slack,
        nanoclaw.open_host(host_config(tmp_path), channels=[channel_of(slack, tmp_path)]) as host,
    ):
        await host.admin.wirings.connect(PLACE, "main", policy="public")
        slack.names[USER] = "Ann"
        await slack.say(CHAT, USER, "hello")
        await seen(slack, {"echo: hello"})


async def test_a_killed_host_loses_nothing(tmp_path: Path) -> None:
    said = [f"message {n}" for n in range(200)]
    async with open_fake_slack() as slack:
        slack.redeliver_s = 0.3
        settings = config(slack, tmp_path)
        table = (
            f'[channels.slack]\nbot_token = {{ file = "{settings.bot_token.file}" }}\n'
            f'app_token = {{ file = "{settings.app_token.file}" }}\napi_base = "{slack.api_base}"\n'
        )
        home = tmp_path / "home"
        await prepare(home, table, PLACE)
        with trio.fail_after(GUARD_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(say_all, slack, said)
                for confirmed in (50, 120):
                    async with running(home):
                        await slack.confirmed_at_least(confirmed)
                async with running(home):
                    await slack.confirmed_at_least(len(said))
                    await seen(slack, {f"echo: {said[-1]}"})
    assert sorted(stored_texts(home)) == sorted(said)


async def say_all(slack: FakeSlack, texts: list[str]) -> None:
    async with trio.open_nursery() as nursery:
        for text in texts:
            nursery.start_soon(slack.say, CHAT, USER, text)


async def test_messages_of_a_pause_come_in_order(tmp_path: Path) -> None:
    channel, said = None, [f"message {n}" for n in range(999)]
    async with open_fake_slack() as slack:
        channel = channel_of(slack, tmp_path)
        async with nanoclaw.open_host(host_config(tmp_path), channels=[channel]) as host:
            await host.admin.wirings.connect(PLACE, "main", policy="public")
            first = await slack.say(CHAT, USER, "first")
            await host.channel_state("slack").set("newest", f'{{"{CHAT}": "{first}"}}')
        for text in said:
            slack.post(CHAT, USER, text)
        seams = Seams(runtime=NoRuntime())
        async with nanoclaw.open_host(host_config(tmp_path), channels=[channel], seams=seams):
            with trio.fail_after(GUARD_S):
                await slack.say(CHAT, USER, "and now")  # which is confirmed after all that came before
    assert stored_texts(tmp_path) == ["first", *said, "and now"]


async def test_a_flood_waits_as_long_as_slack_asks(tmp_path: Path) -> None:
    refused = 0

    def answers(method: str, _arguments: object) -> Response | None:
        nonlocal refused
        if method != "chat.postMessage" or refused >= 5:
            return None
        refused += 1
        return rate_limited(0)

    async with (
        open_fake_slack() as slack,
        nanoclaw.open_host(host_config(tmp_path), channels=[channel_of(slack, tmp_path)]) as host,
    ):
        await host.admin.wirings.connect(PLACE, "main", policy="public")
        slack.answers_with = answers
        for n in range(20):
            await slack.say(CHAT, USER, f"{n}")
        await seen(slack, {f"echo: {n}" for n in range(20)})
        assert len(slack.texts(CHAT)) == 20
    assert refused == 5


async def test_a_socket_that_closes_is_replaced(tmp_path: Path) -> None:
    async with (
        open_fake_slack() as slack,
        nanoclaw.open_host(host_config(tmp_path), channels=[channel_of(slack, tmp_path)]) as host,
    ):
        await host.admin.wirings.connect(PLACE, "main", policy="public")
        slack.redeliver_s = 0.2
        await slack.say(CHAT, USER, "one")
        await slack.ask_to_reconnect()
        await slack.say(CHAT, USER, "two")
        await slack.drop_sockets()
        await slack.say(CHAT, USER, "three")
        await seen(slack, {"echo: one", "echo: two", "echo: three"})


async def test_an_outage_delays_messages_and_loses_none(tmp_path: Path) -> None:
    async with (
        open_fake_slack() as slack,
        nanoclaw.open_host(host_config(tmp_path), channels=[channel_of(slack, tmp_path)]) as host,
    ):
        await host.admin.wirings.connect(PLACE, "main", policy="public")
        slack.redeliver_s = 0.2
        await slack.say(CHAT, USER, "one")
        await seen(slack, {"echo: one"})
        async with trio.open_nursery() as nursery:
            with slack.offline():
                await slack.drop_sockets()
                nursery.start_soon(slack.say, CHAT, USER, "two")
                await slack.refused_calls(3)
            await seen(slack, {"echo: two"})


async def test_leaving_does_not_wait_for_a_call_that_hangs(tmp_path: Path) -> None:
    async with open_fake_slack() as slack:
        channel = channel_of(slack, tmp_path)
        async with trio.open_nursery() as nursery, channel.sender() as sender:
            slack.silent = "hangs"
            nursery.start_soon(sender.deliver, Outgoing("out-1", PLACE, TextContent("hi")))
            await seen(slack, {"hi"})
            nursery.cancel_scope.cancel()
            begun = trio.current_time()
        assert trio.current_time() - begun < 2.0


async def test_a_refused_token_is_said(tmp_path: Path) -> None:
    async with open_fake_slack() as slack:
        channel = channel_of(slack, tmp_path)
        slack.bot_token = "xoxb-another"  # noqa: S105 -- there is nothing behind it
        with pytest.raises(ChannelUnavailable, match="invalid_auth") as caught, ungrouped(ChannelUnavailable):
            async with channel.sender():
                pass
    assert caught.value.condition == "unauthorized"


async def test_the_check_finds_the_account(tmp_path: Path) -> None:
    async with open_fake_slack() as slack:
        account = await check(config(slack, tmp_path), ChannelContext("slack", tmp_path, "UTC", "Nano"))
    assert (account.id, account.name) == ("U0BOT", "@bot in Example")


async def test_the_check_says_which_token_is_wrong(tmp_path: Path) -> None:
    async with open_fake_slack() as slack:
        slack.app_token = "xoxb-pasted-twice"  # noqa: S105 -- there is nothing behind it
        with pytest.raises(SetupFailed, match="app_token must begin with xapp-"):
            await check(config(slack, tmp_path), ChannelContext("slack", tmp_path, "UTC", "Nano"))
