"""Our own channels conform to their protocol, and each check of the suite fails for a broken channel."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import cast

import pytest
import trio
from attrs import define, evolve, frozen

from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Outcome, Repeat, Sender
from nanoclaw.channels.terminal.terminal import CHAT, Terminal
from nanoclaw.channels.terminal.visits import Shown
from nanoclaw.records import (
    Address,
    Attended,
    CardContent,
    CardEditContent,
    Clicked,
    Deleted,
    Event,
    Intake,
    NotAccepted,
    Outgoing,
    Receipt,
    Routed,
    TextContent,
)
from nanoclaw.testing import FakeChannel
from nanoclaw.testing.conformance import ChannelUnderTest, NotConforming, channel_checks
from nanoclaw.testing.conformance.channel import CHECKS
from nanoclaw.testing.conformance.connections import CHECKS as OF_CONNECTIONS
from nanoclaw.testing.conformance.contents import CHECKS as OF_CONTENTS
from nanoclaw.testing.world.channel import Fault, NetworkBroke
from tests.conformance.fake_network import under_test

Opens = Callable[[], AbstractAsyncContextManager[ChannelUnderTest]]


def fake(repeat: Repeat, silence: Fault = "crash after", *, in_groups: bool = False) -> Opens:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ChannelUnderTest]:
        channel = FakeChannel(repeat=repeat)
        channel.in_groups = in_groups
        yield under_test(channel, silence)

    return opens


@asynccontextmanager
async def terminal() -> AsyncIterator[ChannelUnderTest]:
    """Open the terminal's chat with a client. It has no network that could fail."""
    channel, shown = Terminal(None, Random(1)), list[str]()
    channel.open()
    with channel.visit() as guest:

        async def says(text: str) -> None:
            await guest.say("tag", text)

        async def read() -> None:
            while True:
                event = await guest.next()
                if isinstance(event, Shown):
                    shown.append(event.text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            yield ChannelUnderTest(channel, CHAT, lambda: shown, says=says, offers_again=False)
            nursery.cancel_scope.cancel()


OURS = {
    "idempotent": fake("idempotent"),
    "look up": fake("look up"),
    "again": fake("again"),
    "never": fake("never", "hang"),
    "in groups": fake("look up", in_groups=True),
    "terminal": terminal,
}


@pytest.mark.parametrize("opens", OURS.values(), ids=OURS)
@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
async def test_our_channels_conform(check: str, opens: Opens, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    [tried] = [one for one in channel_checks(opens) if one.name == check]
    await tried()


async def test_a_check_without_its_hook_is_skipped_with_the_reason() -> None:
    [check] = [one for one in channel_checks(terminal) if one.name == "an_outage_is_no_rejection"]
    assert await check() == "no hook `down` was given"


# -- every check has a failing example -------------------------------------------------


@define(eq=False)
class Broken(FakeChannel):
    """A network whose channel does one thing wrong."""

    wrong: str = ""
    offers: int = 0

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Sender]:
        if self.wrong == "opens once" and self.connections:
            raise OSError("it is open already")
        async with super().sender() as sender:
            yield BrokenSender(self, sender)

    async def receive(self, intake: Intake) -> None:
        await super().receive(BrokenIntake(self, intake))

    async def offer(self, event: Event) -> Routed:
        match self.wrong:
            case "another button" if isinstance(event, Clicked):
                event = evolve(event, value="No!")
            case "one id" if not isinstance(event, Attended | Deleted):
                event = evolve(event, event_id="event")
            case "another chat":
                event = evolve(event, address=self.address("another"))
        return await super().offer(event)


Good = Callable[[Outgoing], Awaitable[Receipt]]
"""As it should be."""


async def no_cards(_channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    if isinstance(outgoing.content, CardContent):
        raise DeliveryRejected("cards are not for us")
    return await good(outgoing)


async def no_changed_cards(_channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    if isinstance(outgoing.content, CardEditContent):
        raise DeliveryRejected("cards stay as they are")
    return await good(outgoing)


async def no_receipt(_channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    await good(outgoing)
    return None  # type: ignore[return-value]  # that is what is wrong


async def another_order(channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    channel.sent.reverse()
    return await good(outgoing)


async def swallows_rejections(_channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    with suppress(DeliveryRejected):
        return await good(outgoing)
    return Receipt("none")


async def gives_up(_channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    try:
        return await good(outgoing)
    except ChannelUnavailable as error:
        raise DeliveryRejected(str(error)) from error


async def sends_and_says_unavailable(channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    try:
        return await good(outgoing)
    except ChannelUnavailable:
        channel.sent.append(outgoing)
        raise


async def down_for_ever(channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    try:
        return await good(outgoing)
    except ChannelUnavailable:
        channel.unreachable = 1000
        raise


async def shields(_channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    with trio.CancelScope(shield=True):
        await trio.sleep(3600)
    return await good(outgoing)


async def forgets_keys(channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    return await good(evolve(outgoing, message_out_id=f"key-{len(channel.sent)}"))


async def sure(_channel: Broken, good: Good, outgoing: Outgoing) -> Receipt:
    try:
        return await good(outgoing)
    except NetworkBroke as error:
        raise ChannelUnavailable("perhaps") from error


DELIVERIES: Mapping[str, Callable[[Broken, Good, Outgoing], Awaitable[Receipt]]] = {
    function.__name__.replace("_", " "): function
    for function in (
        *(no_cards, no_changed_cards, no_receipt, another_order, swallows_rejections, gives_up, shields),
        *(sends_and_says_unavailable, down_for_ever, forgets_keys, sure),
    )
}


@frozen
class BrokenSender:
    channel: Broken
    sender: Sender

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        wrong = DELIVERIES.get(self.channel.wrong)
        if wrong is None:
            return await self.sender.deliver(outgoing)
        return await wrong(self.channel, self.sender.deliver, outgoing)

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        await trio.lowlevel.checkpoint()
        return Receipt("any") if self.channel.wrong == "finds all" else self.channel.find(outgoing)

    async def typing(self, address: Address) -> None:
        match self.channel.wrong:
            case "hints raise":
                raise OSError("no typing")
            case "hints raise when down" if self.channel._troubles:
                raise OSError("no network")
            case "hints are messages":
                self.channel.sent.append(Outgoing("typing", address, TextContent("…")))

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome) -> None:
        await self.sender.settled(address, platform_message_id, outcome)

    async def draft(self, address: Address, text: str) -> None:
        match self.channel.wrong:
            case "drafts raise":
                raise OSError("no drafts")
            case "drafts are messages" if text:
                self.channel.sent.append(Outgoing("draft", address, TextContent(text)))


@frozen
class BrokenIntake:
    channel: Broken
    intake: Intake

    async def offer(self, event: Event) -> Routed:
        match self.channel.wrong:
            case "confirms first":
                trio.lowlevel.spawn_system_task(self.intake.offer, event)
                return Routed()
            case "a new id each time" if not isinstance(event, Attended | Deleted):
                self.channel.offers += 1
                event = evolve(event, event_id=f"event-{self.channel.offers}")
            case "confirms what was refused":
                with suppress(NotAccepted):
                    return await self.intake.offer(event)
                return Routed()
        return await self.intake.offer(event)


FAULTS: list[tuple[str, str, Repeat]] = [
    ("a_delivery_gives_a_receipt", "no receipt", "again"),
    ("messages_keep_their_order", "another order", "again"),
    ("the_sender_can_be_opened_again", "opens once", "again"),
    ("what_is_rejected_is_said_to_be", "swallows rejections", "again"),
    ("an_outage_is_no_rejection", "gives up", "again"),
    ("what_was_unavailable_has_nothing", "sends and says unavailable", "again"),
    ("after_an_outage_messages_arrive", "down for ever", "again"),
    ("a_delivery_can_be_cancelled", "shields", "again"),
    ("it_says_what_to_do_about_doubts", "", "perhaps"),  # type: ignore[list-item]  # that is what is wrong
    ("an_idempotent_network_keeps_one_of_each", "forgets keys", "idempotent"),
    ("what_was_sent_is_found", "finds all", "look up"),
    ("what_was_doubtful_arrives_once", "sure", "idempotent"),
    ("hints_never_raise", "hints raise", "again"),
    ("hints_show_nothing", "hints are messages", "again"),
    ("hints_never_raise_when_the_network_is_down", "hints raise when down", "again"),
    ("drafts_never_raise", "drafts raise", "again"),
    ("the_final_text_replaces_the_draft", "drafts are messages", "again"),
    ("an_empty_draft_removes_the_last_one", "drafts are messages", "again"),
    ("what_users_say_is_offered", "another chat", "again"),
    ("events_have_ids_of_their_own", "one id", "again"),
    ("nothing_is_confirmed_before_it_is_stored", "confirms first", "again"),
    ("what_was_not_accepted_is_not_confirmed", "confirms what was refused", "again"),
    ("what_was_cut_off_is_offered_again", "a new id each time", "again"),
    ("a_channel_with_buttons_shows_cards", "no cards", "again"),
    ("a_card_shows_its_choice_and_its_end_in_place", "no changed cards", "again"),
    ("what_users_press_is_offered", "another button", "again"),
    ("a_press_that_was_not_accepted_is_offered_again", "confirms what was refused", "again"),
]


@pytest.mark.parametrize(("check", "wrong", "repeat"), FAULTS)
async def test_each_broken_channel_fails_its_check(
    check: str, wrong: str, repeat: Repeat, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ChannelUnderTest]:
        yield under_test(Broken(repeat=repeat, wrong=wrong))

    [tried] = [one for one in channel_checks(opens) if one.name == check]
    with pytest.raises(NotConforming):
        await tried()


def test_every_check_has_a_failing_example() -> None:
    here = [check for check in CHECKS if check not in {*OF_CONTENTS, *OF_CONNECTIONS}]
    assert {check.__name__ for check in here} == {check for check, _, _ in FAULTS}


@define(eq=False)
class Forgetful(FakeChannel):
    """A network whose deliveries do what `ends` says."""

    ends: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        await super().deliver(outgoing)
        return cast("Receipt", await self.ends())


async def odd() -> None:
    raise ValueError("odd")


SENDING = ["a_delivery_gives_a_receipt", "receipts_tell_messages_apart", "an_edit_is_seen_or_rejected"]


@pytest.mark.parametrize(
    ("ends", "checks", "words"),
    [
        (trio.lowlevel.checkpoint, SENDING, "deliver returned None, which is no Receipt"),
        (odd, SENDING, "the network is up, and deliver raised ValueError('odd')"),
        (trio.sleep_forever, SENDING, "the network is up, and deliver took more than 10 s"),
        (trio.sleep_forever, ["the_sender_can_be_opened_again"], "a new sender took more than 10 s"),
        (trio.sleep_forever, ["a_text_with_files_arrives"], "deliver took more than 10 s"),
    ],
)
async def test_a_delivery_that_gives_no_receipt_is_said_to_in_words(
    ends: Callable[[], Awaitable[object]],
    checks: Sequence[str],
    words: str,
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ChannelUnderTest]:
        yield under_test(Forgetful(ends=ends))

    for check in [one for one in channel_checks(opens) if one.name in checks]:
        with pytest.raises(NotConforming, match=re.escape(words)):
            await check()
