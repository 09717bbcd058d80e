"""The content checks find changed messages, and accept what a channel may do."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import define, evolve

from nanoclaw.channels.protocol import DeliveryRejected
from nanoclaw.channels.terminal.terminal import render
from nanoclaw.records import (
    Address,
    Deleted,
    EditContent,
    Event,
    InboundEvent,
    Outgoing,
    Reacted,
    ReactionContent,
    Receipt,
    Routed,
    TextContent,
)
from nanoclaw.testing import FakeChannel
from nanoclaw.testing.conformance import ChannelUnderTest, NotConforming, channel_checks
from nanoclaw.testing.conformance.contents import CHECKS
from tests.conformance.fake_network import under_test

NAMES = [check.__name__ for check in CHECKS]


@define(eq=False)
class Odd(FakeChannel):
    """A network that alters or confuses messages."""

    keeps: Callable[[Outgoing], list[Outgoing]] = lambda outgoing: [outgoing]
    hears: Callable[[Event], Event] = lambda event: event
    receipt: Callable[[Receipt], Receipt] = lambda receipt: receipt

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        await trio.lowlevel.checkpoint()
        kept = [self._keep(one) for one in self.keeps(outgoing)]
        return self.receipt(kept[0] if kept else Receipt("fake-0"))

    async def offer(self, event: Event) -> Routed:
        return await super().offer(self.hears(event))


async def run(name: str, channel: Odd) -> str | None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ChannelUnderTest]:
        yield under_test(channel)

    [check] = [one for one in channel_checks(opens) if one.name == name]
    return await check()


def with_text(outgoing: Outgoing, change: Callable[[str], str]) -> list[Outgoing]:
    """Return the message with its text changed."""
    content = outgoing.content
    if not isinstance(content, TextContent):
        return [outgoing]
    return [evolve(outgoing, content=evolve(content, text=change(content.text)))]


# -- allowed changes ---------------------------------------------------------------


def splits(outgoing: Outgoing) -> list[Outgoing]:
    """Split a message into marked parts."""
    if not isinstance(outgoing.content, TextContent) or len(outgoing.content.text) <= 200:
        return [outgoing]
    text = outgoing.content.text
    parts = [f"{text[n : n + 190].strip()} ({n // 190 + 1})" for n in range(0, len(text), 190)]
    return [evolve(outgoing, content=TextContent(part)) for part in parts]


def refuses(outgoing: Outgoing) -> list[Outgoing]:
    """Reject long texts, edits, reactions and files."""
    content = outgoing.content
    if not isinstance(content, TextContent) or outgoing.files or len(content.text) > 200:
        raise DeliveryRejected("nothing of that here")
    return [outgoing]


def says_it_in_words(outgoing: Outgoing) -> list[Outgoing]:
    """Turn edits, reactions and files into texts."""
    return [evolve(outgoing, content=TextContent(render(outgoing)), files=())]


def nothing_known(receipt: Receipt) -> Receipt:
    """Return no ids."""
    return evolve(receipt, platform_message_id=None)


HONEST: Mapping[str, Callable[[], Odd]] = {
    "whole": Odd,
    "splits": lambda: Odd(keeps=splits),
    "refuses": lambda: Odd(keeps=refuses),
    "no ids": lambda: Odd(receipt=nothing_known),
}


@pytest.mark.parametrize("made", HONEST.values(), ids=HONEST)
@pytest.mark.parametrize("name", NAMES)
async def test_an_honest_network_conforms(
    name: str, made: Callable[[], Odd], autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    await run(name, made())


@pytest.mark.parametrize(
    "name", ["an_edit_is_seen_or_rejected", "a_reaction_is_seen_or_rejected", "a_text_with_files_arrives"]
)
async def test_a_channel_may_express_unsupported_features_as_text(name: str) -> None:
    assert await run(name, Odd(keeps=says_it_in_words)) is None


# -- forbidden changes --------------------------------------------------------------------


def cuts(outgoing: Outgoing) -> list[Outgoing]:
    return with_text(outgoing, lambda text: text[:200])


def swaps_parts(outgoing: Outgoing) -> list[Outgoing]:
    return splits(outgoing)[::-1]


def fails_over_long_texts(outgoing: Outgoing) -> list[Outgoing]:
    if isinstance(outgoing.content, TextContent) and len(outgoing.content.text) > 4096:
        raise ValueError("400 Bad Request: message is too long")
    return [outgoing]


def knows_latin_1_only(outgoing: Outgoing) -> list[Outgoing]:
    return with_text(outgoing, lambda text: text.encode("latin-1", "replace").decode("latin-1"))


def takes_markdown_away(outgoing: Outgoing) -> list[Outgoing]:
    content = outgoing.content
    marked = isinstance(content, TextContent) and content.markdown
    return with_text(outgoing, lambda text: text.split("**")[0] if marked else text)


def loses(*kinds: type) -> Callable[[Outgoing], list[Outgoing]]:
    return lambda outgoing: [] if isinstance(outgoing.content, kinds) else [outgoing]


def answers_nothing(outgoing: Outgoing) -> list[Outgoing]:
    return [evolve(outgoing, in_reply_to=None)]


def has_no_files(outgoing: Outgoing) -> list[Outgoing]:
    return [evolve(outgoing, files=())]


def has_nothing_but_files(outgoing: Outgoing) -> list[Outgoing]:
    return with_text(outgoing, lambda text: "" if outgoing.files else text)


def knows_no_threads(outgoing: Outgoing) -> list[Outgoing]:
    return [evolve(outgoing, address=evolve(outgoing.address, thread_id=None))]


def messages(change: Callable[[InboundEvent], InboundEvent]) -> Callable[[Event], Event]:
    """Change messages, and no other events."""
    return lambda event: change(event) if isinstance(event, InboundEvent) else event


def hears(**changes: Any) -> Callable[[Event], Event]:
    """Replace a part of the message."""
    return messages(lambda event: evolve(event, message=evolve(event.message, **changes)))


def hears_as(**changes: Callable[[InboundEvent], Any]) -> Callable[[Event], Event]:
    """Replace a part of the message by what a function makes of it."""
    return messages(
        lambda event: evolve(
            event, message=evolve(event.message, **{key: make(event) for key, make in changes.items()})
        )
    )


hears_a_little = hears_as(text=lambda event: event.message.text[:200])
hears_one_line = hears_as(text=lambda event: event.message.text.replace("\n", " "))
hears_a_user_each_time = hears_as(sender_id=lambda event: f"fake:{event.event_id}")
hears_no_threads = messages(lambda event: evolve(event, address=Address("fake", "chat")))
hears_edits_as_messages = messages(lambda event: evolve(event, version=""))
hears_edits_of_others = messages(lambda event: evolve(event, event_id=f"{event.event_id}{event.version}"))


def hears_of_others(event: Event) -> Event:
    return evolve(event, target="another") if isinstance(event, Deleted | Reacted) else event


def hears_users_without_a_prefix(event: Event) -> Event:
    return evolve(event, sender_id="me") if isinstance(event, Reacted) else event


OUT: list[tuple[str, Callable[[Outgoing], list[Outgoing]]]] = [
    ("every_character_arrives", knows_latin_1_only),
    ("what_is_too_long_is_split_or_rejected", cuts),
    ("what_is_too_long_is_split_or_rejected", swaps_parts),
    ("what_is_too_long_is_split_or_rejected", fails_over_long_texts),
    ("markdown_arrives", takes_markdown_away),
    ("an_edit_is_seen_or_rejected", loses(EditContent)),
    ("an_edit_may_be_longer_or_shorter", loses(EditContent)),
    ("a_reaction_is_seen_or_rejected", loses(ReactionContent)),
    ("a_reply_is_shown_as_one", answers_nothing),
    ("a_text_with_files_arrives", has_nothing_but_files),
    ("files_arrive_as_they_are", has_no_files),
    ("what_is_for_a_thread_arrives_there", knows_no_threads),
]
IN: list[tuple[str, Callable[[Event], Event]]] = [
    ("what_users_edit_is_offered", hears_edits_as_messages),
    ("what_users_edit_is_offered", hears_edits_of_others),
    ("what_users_delete_is_offered", hears_of_others),
    ("how_users_react_is_offered", hears_of_others),
    ("how_users_react_is_offered", hears_users_without_a_prefix),
    ("what_users_send_is_offered", hears(attachments=())),
    ("what_is_said_in_a_thread_is_offered_as_from_there", hears_no_threads),
    ("what_users_say_arrives_whole", hears_a_little),
    ("what_users_say_arrives_whole", hears(id=7)),
    ("lines_that_users_say_stay_lines", hears_one_line),
    ("a_sender_is_known_by_a_whole_id", hears(sender_id="me")),
    ("a_sender_is_known_by_a_whole_id", hears_a_user_each_time),
]


@pytest.mark.parametrize(("name", "wrong"), OUT)
async def test_content_lost_on_the_way_out_is_found(
    name: str, wrong: Callable[[Outgoing], list[Outgoing]], autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    with pytest.raises(NotConforming, match=f"^{name}: "):
        await run(name, Odd(keeps=wrong))


@pytest.mark.parametrize(("name", "wrong"), IN)
async def test_content_lost_on_the_way_in_is_found(
    name: str, wrong: Callable[[Event], Event], autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    with pytest.raises(NotConforming, match=f"^{name}: "):
        await run(name, Odd(hears=wrong))


@pytest.mark.parametrize("id_", ["sent", "", 7])
async def test_a_receipt_that_refers_to_no_message_is_found(id_: str) -> None:
    with pytest.raises(NotConforming, match="receipts_tell_messages_apart: "):
        await run("receipts_tell_messages_apart", Odd(receipt=lambda _receipt: Receipt(id_)))


def test_every_check_has_a_failing_example() -> None:
    found = {name for name, _ in OUT} | {name for name, _ in IN} | {"receipts_tell_messages_apart"}
    assert found == set(NAMES)
