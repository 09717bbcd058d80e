"""A check that hangs names the step that it waits for, and the line that waits."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, evolve, frozen

from agent_runner.providers import ProviderContext, SimpleProvider, TurnHandler
from nanoclaw.channels.protocol import Outcome, Sender
from nanoclaw.records import Address, Intake, Outgoing, Receipt
from nanoclaw.runtimes import Death, RunnerSpec
from nanoclaw.testing import FakeChannel
from nanoclaw.testing.conformance import (
    ChannelUnderTest,
    Check,
    NotConforming,
    ProviderUnderTest,
    RuntimeUnderTest,
    channel_checks,
    make_session,
    provider_checks,
    runtime_checks,
)
from nanoclaw.testing.conformance import checks as module
from nanoclaw.testing.conformance.checks import checks_of
from nanoclaw.testing.conformance.steps import step, step_context
from nanoclaw.testing.world.executor import InlineExecutor
from tests.conformance.fake_network import under_test
from tests.host.runtimes import FakeRuntime

MockClock = trio.testing.MockClock


async def says_of(check: Check) -> str:
    """Return what a check says when it fails."""
    with pytest.raises(NotConforming) as failed:
        await check()
    return str(failed.value)


def named(checks: Any, name: str) -> Check:
    [found] = [one for one in checks if one.name == name]
    return found  # type: ignore[no-any-return]


@define(eq=False)
class Hanging(FakeChannel):
    """A channel that hangs at one point."""

    where: str = ""

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        if self.where == "open":
            await trio.sleep_forever()
        async with super().sender() as sender:
            yield HangingSender(self, sender)
        if self.where == "close":
            await trio.sleep_forever()

    async def receive(self, intake: Intake) -> None:
        if self.where == "receive":
            await trio.sleep_forever()
        await super().receive(intake)


@frozen
class HangingSender:
    channel: Hanging
    sender: Any

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        if self.channel.where == "deliver":
            await trio.sleep_forever()
        return await self.sender.deliver(outgoing)  # type: ignore[no-any-return]

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        if self.channel.where == "find":
            await trio.sleep_forever()
        return await self.sender.find(outgoing)  # type: ignore[no-any-return]

    async def typing(self, address: Address) -> None:
        await self.sender.typing(address)

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome) -> None:
        await self.sender.settled(address, platform_message_id, outcome)

    async def draft(self, address: Address, text: str) -> None:
        await self.sender.draft(address, text)


@pytest.mark.parametrize(
    ("where", "check", "words"),
    [
        (
            "open",
            "a_delivery_gives_a_receipt",
            "waited 20 s for the channel's sender to open, which waits at ",
        ),
        (
            "close",
            "a_delivery_gives_a_receipt",
            "waited 20 s for the channel's sender to close, which waits at ",
        ),
        ("find", "what_was_sent_is_found", "waited 20 s for find() of the channel's sender, which waits at "),
        ("deliver", "a_delivery_gives_a_receipt", "the network is up, and deliver took more than 10 s"),
        ("receive", "what_users_say_is_offered", "waited 30 s for the hook `says` to return"),
        (
            "receive",
            "nothing_is_confirmed_before_it_is_stored",
            "waited 20 s for the channel to offer what a user",
        ),
        (
            "receive",
            "what_was_cut_off_is_offered_again",
            "waited 20 s for the channel to offer what a user said",
        ),
    ],
)
async def test_a_channel_that_hangs(where: str, check: str, words: str, autojump_clock: MockClock) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ChannelUnderTest]:
        yield under_test(Hanging(repeat="look up", where=where))

    said = await says_of(named(channel_checks(opens), check))
    assert said.startswith(f"{check}: {words}")
    assert ("test_steps.py:" in said) == ("which waits at" in words)


async def test_a_fixture_that_hangs(autojump_clock: MockClock) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ChannelUnderTest]:
        await trio.sleep(inf)
        yield under_test(FakeChannel())

    said = await says_of(channel_checks(opens)[0])
    assert "waited 20 s for the channel under test to open, which waits at test_steps.py:" in said


@frozen
class HangingProvider(SimpleProvider):
    """A provider that hangs."""

    name = "hanging"
    opens: bool = True

    @asynccontextmanager
    async def open(self, _context: ProviderContext, /) -> AsyncGenerator[TurnHandler]:
        if not self.opens:
            await trio.sleep_forever()
        yield self

    async def run(self, _turn: Any, _tools: Any, /) -> Any:
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("check", "opens", "words"),
    [
        ("what_is_asked_is_answered", True, "waited 10 s for a turn, which waits at test_steps.py:"),
        ("tasks_are_done", True, "waited 10 s for a turn with a task, which waits at test_steps.py:"),
        (
            "tools_may_appear_and_vanish",
            True,
            "waited 10 s for a turn at first, which waits at test_steps.py:",
        ),
        ("it_opens_and_closes", False, "it did not open within 10 s"),
        (
            "cancelled_between_turns_it_closes",
            False,
            "waited 15 s for a provider that is cancelled between turns",
        ),
    ],
)
async def test_a_provider_that_hangs(check: str, opens: bool, words: str, autojump_clock: MockClock) -> None:  # noqa: FBT001 -- a parameter
    del autojump_clock

    @asynccontextmanager
    async def subject() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(HangingProvider(opens=opens))

    assert words in await says_of(named(provider_checks(subject), check))


@define(eq=False)
class HangingRuntime(FakeRuntime):
    where: str = "run"

    async def run(self, spec: RunnerSpec, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> Death:
        if self.where == "run":
            await trio.sleep_forever()
        return await super().run(spec, task_status=task_status)

    async def recover(self, spec: RunnerSpec) -> None:
        del spec
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("where", "check", "words"),
    [
        (
            "run",
            "stop_may_be_repeated",
            "waited 30 s for run() to report the runner as started, which waits at",
        ),
        ("lock", "stop_may_be_repeated", "waited 30 s for the runner to take the session's lock"),
        (
            "recover",
            "a_sound_database_is_left_as_it_is",
            "waited 45 s for recover(), which waits at test_steps.py:",
        ),
    ],
)
async def test_a_runtime_that_hangs(
    where: str, check: str, words: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock

    @asynccontextmanager
    async def subject() -> AsyncIterator[RuntimeUnderTest]:
        spec = await make_session(tmp_path, executor=InlineExecutor())
        yield RuntimeUnderTest(HangingRuntime(where=where), spec)

    assert words in await says_of(named(runtime_checks(subject), check))


async def test_the_limit_of_a_check_names_what_it_cut_short(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    del autojump_clock
    monkeypatch.setattr(module, "LIMIT_S", 10.0)

    @asynccontextmanager
    async def opens() -> AsyncIterator[str]:
        yield "it"

    async def waits(_it: str) -> None:
        async with step_context("the outer one", opens()):
            with step("the inner one"):
                await trio.sleep_forever()

    [check] = checks_of([waits], opens)
    said = await says_of(check)
    assert said.startswith("waits: not done within 10 s; it waited for the inner one, which waits at ")


async def test_a_step_that_swallows_its_cancellation_is_late_all_the_same(autojump_clock: MockClock) -> None:
    del autojump_clock
    shield = trio.CancelScope(shield=True)
    with pytest.raises(NotConforming, match="waited 1 s for it"), step("it", 1.0), shield:
        await trio.sleep(5)


async def test_a_channel_is_under_test_with_all_its_hooks(autojump_clock: MockClock) -> None:
    del autojump_clock
    it = evolve(under_test(FakeChannel()), says=None)

    @asynccontextmanager
    async def opens() -> AsyncIterator[ChannelUnderTest]:
        yield it

    assert await named(channel_checks(opens), "what_users_say_is_offered")() == "no hook `says` was given"
