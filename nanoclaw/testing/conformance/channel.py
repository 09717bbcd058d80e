"""The conformance suite of a channel: it tests `nanoclaw.channels.protocol` with its own network.

@asynccontextmanager
async def mine() -> AsyncIterator[ChannelUnderTest]:
    network = MyNetwork()
    yield ChannelUnderTest(MyChannel(network), Address("mine", "chat"), network.texts, down=network.down)

@pytest.mark.parametrize("check", channel_checks(mine), ids=str)
async def test_my_channel_conforms(check: Check) -> None:
    await check()
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import get_args

import trio
from attrs import evolve

from nanoclaw.channels.cards import with_marks
from nanoclaw.channels.protocol import (
    Capabilities,
    ChannelUnavailable,
    DeliveryRejected,
    Repeat,
    capabilities_of,
)
from nanoclaw.records import CardContent, CardEditContent, EditContent, Option, Outgoing, QuestionContent
from nanoclaw.testing.conformance import connections, contents
from nanoclaw.testing.conformance.checks import Check, checks_of, hook, only, require
from nanoclaw.testing.conformance.contents import require_user
from nanoclaw.testing.conformance.exchanges import (
    SOON_S,
    Host,
    deliver,
    did,
    draft,
    failure,
    failure_with_connection,
    hint,
    outgoing,
    receipt_of,
    receiving,
)
from nanoclaw.testing.conformance.networks import ChannelUnderTest
from nanoclaw.testing.conformance.stepped_channel import in_steps
from nanoclaw.testing.conformance.steps import step, step_context

QUESTION = QuestionContent(
    "question-1", "Deploy", "Ship it?", (Option("Yes!", "Yes", "yes"), Option("No!", "No", "no"))
)
SEVERAL = evolve(QUESTION, multiple=True)
CARD = CardContent('{"title": "Weather"}', "It rains")
QUIET_S = 1.0
"""Seconds for which nothing happens, where nothing should."""
OFFER = "the channel to offer what a user said"
NO_DRAFTS = "it shows no drafts"
CONFIRM = "the hook `says` to return after the event is stored"
REFUSALS = (ChannelUnavailable, DeliveryRejected)


def channel_checks(open_: Callable[[], AbstractAsyncContextManager[ChannelUnderTest]]) -> Sequence[Check]:
    """The checks; each opens a channel of its own."""

    @asynccontextmanager
    async def open_channel() -> AsyncIterator[ChannelUnderTest]:
        async with step_context("the channel under test", open_()) as it:
            yield in_steps(it)

    return checks_of(CHECKS, open_channel)


# -- sending -------------------------------------------------------------------


async def a_delivery_gives_a_receipt(it: ChannelUnderTest) -> None:
    """The network has a message once its delivery returns a receipt."""
    async with it.channel.sender() as sender:
        receipt = await receipt_of(sender, outgoing(it.address, "one"))
        id_: object = receipt.platform_message_id
        require(isinstance(id_, str | None), f"the id in the receipt is {id_!r}, which is no text")
        require(it.texts() == ["one"], f"a receipt for 'one', and users see {list(it.texts())}")


async def messages_keep_their_order(it: ChannelUnderTest) -> None:
    """Messages that the host sends one after the other arrive in that order."""
    wanted = [f"message {n}" for n in range(5)]
    async with it.channel.sender() as sender:
        for text in wanted:
            await deliver(sender, outgoing(it.address, text))
    require(it.texts() == wanted, f"sent in this order: {wanted}; users see {list(it.texts())}")


async def the_sender_can_be_opened_again(it: ChannelUnderTest) -> None:
    """The sender can be opened again, after an orderly end and after a broken connection."""
    for text in ("one", "two"):
        raised = await failure_with_connection(it.channel, outgoing(it.address, text))
        require(raised is None, f"the network is up, and a new sender {raised and did(raised)}")
    require(it.texts() == ["one", "two"], f"two connections, a message each; users see {list(it.texts())}")


async def what_is_rejected_is_said_to_be(it: ChannelUnderTest) -> None:
    """`DeliveryRejected` means that nothing was sent. The next message can still be delivered."""
    rejecting = hook(it.rejecting, "rejecting")
    async with it.channel.sender() as sender:
        with rejecting():
            raised = await failure(sender, outgoing(it.address, "bad"))
        require(
            isinstance(raised, DeliveryRejected),
            f"a message that is refused for good must raise DeliveryRejected, got {raised!r}",
        )
        require(it.texts() == [], f"a message was rejected, and users see {list(it.texts())}")
        await deliver(sender, outgoing(it.address, "good"))


async def an_outage_is_no_rejection(it: ChannelUnderTest) -> None:
    """An outage does not raise `DeliveryRejected`: the host never retries a rejected message."""
    down = hook(it.down, "down")
    with down():
        raised = await failure_with_connection(it.channel, outgoing(it.address, "one"))
    require(not isinstance(raised, DeliveryRejected), "a network that is down raised DeliveryRejected")
    require(raised is not None, "a network that is down gave a receipt")


async def what_was_unavailable_has_nothing(it: ChannelUnderTest) -> None:
    """`ChannelUnavailable` means that nothing was sent. The host then retries, whatever `repeat` says."""
    down = hook(it.down, "down")
    with down():
        raised = await failure_with_connection(it.channel, outgoing(it.address, "one"))
        only(isinstance(raised, ChannelUnavailable), "it does not say ChannelUnavailable when it is down")
    require(it.texts() == [], f"ChannelUnavailable, and users see {list(it.texts())}")


async def after_an_outage_messages_arrive(it: ChannelUnderTest) -> None:
    """A message arrives after an outage once the sender is opened again, as the host does."""
    down = hook(it.down, "down")
    with down():
        await failure_with_connection(it.channel, outgoing(it.address, "one"))
    raised = await failure_with_connection(it.channel, outgoing(it.address, "two"))
    require(raised is None, f"the network is up again, and a new sender {raised and did(raised)}")
    require(it.texts()[-1:] == ["two"], f"'two' was sent after an outage; users see {list(it.texts())}")


async def a_delivery_can_be_cancelled(it: ChannelUnderTest) -> None:
    """A delivery can be cancelled, because the host waits for an answer only for a limited time."""
    silent = hook(it.silent, "silent")
    async with it.channel.sender() as sender:
        with silent(), trio.move_on_after(QUIET_S) as scope:
            await failure(sender, outgoing(it.address, "one"))
        late = scope.cancelled_caught and trio.current_time() > scope.deadline + SOON_S
        require(not late, f"cancelled after {QUIET_S:g} s, it went on for more than {SOON_S:g} s")


# -- repeating -----------------------------------------------------------------


async def it_says_what_to_do_about_doubts(it: ChannelUnderTest) -> None:
    """`repeat` has one of its four values, and a channel with `look up` implements `find`."""
    repeat = _can(it).repeat
    require(repeat in get_args(Repeat), f"repeat is {repeat!r}, none of {get_args(Repeat)}")
    async with it.channel.sender() as sender:
        finds = hasattr(sender, "find")
    require(finds or repeat != "look up", "it says `look up`, and its sender has no find()")


async def an_idempotent_network_keeps_one_of_each(it: ChannelUnderTest) -> None:
    """`message_out_id` identifies a message: the same text under another id is another message."""
    only(_can(it).repeat == "idempotent", "it does not say that it is idempotent")
    async with it.channel.sender() as sender:
        first = await receipt_of(sender, outgoing(it.address, "one", "out-1"))
        again = await receipt_of(sender, outgoing(it.address, "one", "out-1"))
        require(it.texts() == ["one"], f"one message sent twice; users see {list(it.texts())}")
        ids = (first.platform_message_id, again.platform_message_id)
        require(ids[0] == ids[1], f"one message, and two receipts: {ids}")
        await deliver(sender, outgoing(it.address, "one", "out-2"))
    require(it.texts() == ["one", "one"], f"two messages of one text; users see {list(it.texts())}")


async def what_was_sent_is_found(it: ChannelUnderTest) -> None:
    """`find` returns the receipt of a message that the network has, and None for any other."""
    only(_can(it).repeat == "look up", "it does not say `look up`")
    async with it.channel.sender() as sender:
        require(await sender.find(outgoing(it.address, "one")) is None, "found before it was sent")
        receipt = await deliver(sender, outgoing(it.address, "one"))
        found = await sender.find(outgoing(it.address, "one"))
        require(found == receipt, f"sent with {receipt}, found {found}")
        other = await sender.find(outgoing(it.address, "one", "out-other"))
        require(other is None, f"found what was never sent: {other}")


async def what_was_doubtful_arrives_once(it: ChannelUnderTest) -> None:
    """After a lost receipt the host follows `repeat`, and users see one message."""
    silent, repeat = hook(it.silent, "silent"), _can(it).repeat
    only(repeat in {"idempotent", "look up"}, f"`repeat` is {repeat!r}: a message may arrive twice or never")
    with silent():
        raised = await failure_with_connection(it.channel, outgoing(it.address, "one"))
    require(not isinstance(raised, REFUSALS), f"its outcome is unknown, and it says {raised!r}")
    async with it.channel.sender() as sender:
        found = await sender.find(outgoing(it.address, "one")) if repeat == "look up" else None
        if found is None:
            await deliver(sender, outgoing(it.address, "one"))
    require(it.texts() == ["one"], f"{repeat}, after a doubt; users see {list(it.texts())}")


# -- hints ---------------------------------------------------------------------


async def hints_never_raise(it: ChannelUnderTest) -> None:
    """A hint may be lost, but never raises. The host logs its error and goes on."""
    async with it.channel.sender() as sender:
        await hint(sender, it.address)
        await deliver(sender, outgoing(it.address, "one"))


async def hints_show_nothing(it: ChannelUnderTest) -> None:
    """Hints show no message."""
    async with it.channel.sender() as sender:
        await hint(sender, it.address)
    require(it.texts() == [], f"hints alone, and users see {list(it.texts())}")


async def hints_never_raise_when_the_network_is_down(it: ChannelUnderTest) -> None:
    """Hints do not raise while the network is down."""
    down = hook(it.down, "down")
    async with it.channel.sender() as sender:
        with down():
            await hint(sender, it.address)


async def drafts_never_raise(it: ChannelUnderTest) -> None:
    """A draft may be lost, but never raises, also while the network is down."""
    only(_can(it).drafts, NO_DRAFTS)
    down = hook(it.down, "down")
    async with it.channel.sender() as sender:
        await draft(sender, it.address, "one")
        with down():
            await draft(sender, it.address, "one two")


async def the_final_text_replaces_the_draft(it: ChannelUnderTest) -> None:
    """A delivery takes the place of the drafts before it: users end with one message."""
    only(_can(it).drafts, NO_DRAFTS)
    async with it.channel.sender() as sender:
        for text in ("one", "one two"):
            await draft(sender, it.address, text)
        await deliver(sender, outgoing(it.address, "one two three"))
        require(it.texts() == ["one two three"], f"drafts, then the answer; users see {list(it.texts())}")
        await draft(sender, it.address, "")
    require(it.texts() == ["one two three"], f"no draft was left to remove; users see {list(it.texts())}")


async def an_empty_draft_removes_the_last_one(it: ChannelUnderTest) -> None:
    """An answer may be lost while it is written. Then an empty draft leaves nothing of it."""
    only(_can(it).drafts, NO_DRAFTS)
    async with it.channel.sender() as sender:
        await draft(sender, it.address, "one")
        await draft(sender, it.address, "")
        require(it.texts() == [], f"a draft was removed, and users see {list(it.texts())}")
        await deliver(sender, outgoing(it.address, "two"))
    require(it.texts() == ["two"], f"a lost draft, then another answer; users see {list(it.texts())}")


# -- receiving -----------------------------------------------------------------


async def what_users_say_is_offered(it: ChannelUnderTest) -> None:
    """Users' messages are offered in order, with the channel's type, the chat and the text."""
    says = hook(it.says, "says")
    async with receiving(it.channel, host := Host()):
        for text in ("one", "two", "three"):
            await says(text)
    require(
        [event.message.text for event in host.stored] == ["one", "two", "three"], f"stored: {host.stored}"
    )
    for event in host.stored:
        where = (event.address.channel_type, event.address.platform_id)
        wanted = (it.channel.channel_type, it.address.platform_id)
        require(where == wanted, f"it was said in {wanted}, and offered as from {where}")


async def events_have_ids_of_their_own(it: ChannelUnderTest) -> None:
    """An event with a known id counts as the same event and is not stored again."""
    says = hook(it.says, "says")
    async with receiving(it.channel, host := Host()):
        await says("one")
        await says("one")
    ids = {event.message_id for event in host.stored}
    require(len(ids) == len(host.stored) == 2, f"said twice, and offered as {host.stored}")  # noqa: PLR2004 -- twice


async def nothing_is_confirmed_before_it_is_stored(it: ChannelUnderTest) -> None:
    """The channel confirms a message to the network only after the host has stored it."""
    says = hook(it.says, "says")
    async with receiving(it.channel, host := Host(at_once=False)), trio.open_nursery() as nursery:
        confirmed = trio.Event()
        nursery.start_soon(_say, says, confirmed)
        with step(OFFER):
            await host.offered.wait()
        with trio.move_on_after(QUIET_S):
            await confirmed.wait()
        require(not confirmed.is_set(), "it was confirmed while `offer` had not returned")
        host.let()
        with step(CONFIRM):
            await confirmed.wait()


async def what_was_not_accepted_is_not_confirmed(it: ChannelUnderTest) -> None:
    """An event that raised `NotAccepted` is offered again later, and confirmed once it is accepted."""
    only(it.offers_again, "the network offers nothing again")
    says = hook(it.says, "says")
    async with receiving(it.channel, host := Host(refusals=2)):
        await says("one")
    require(len(host.stored) == 1, f"confirmed, and {len(host.stored)} stored")


async def what_was_cut_off_is_offered_again(it: ChannelUnderTest) -> None:
    """A cancelled offer is repeated as the same event: the host may have stored it before it died."""
    only(it.offers_again, "the network offers nothing again")
    says = hook(it.says, "says")
    async with trio.open_nursery() as nursery:
        confirmed = trio.Event()
        async with receiving(it.channel, dies := Host(at_once=False)):
            nursery.start_soon(_say, says, confirmed)
            with step(OFFER):
                await dies.offered.wait()
        async with receiving(it.channel, host := Host()):
            with step(CONFIRM):
                await confirmed.wait()
    ids = {event.message_id for event in (*dies.seen, *host.stored)}
    require(len(ids) == 1, f"one message, offered as {len(ids)} events")


# -- buttons -------------------------------------------------------------------


async def a_channel_with_buttons_shows_cards(it: ChannelUnderTest) -> None:
    """A channel with buttons shows cards with and without them. Any other channel gets text instead."""
    only(_can(it).buttons, "it has no buttons")
    async with it.channel.sender() as sender:
        for key, content in (("out-1", QUESTION), ("out-2", CARD)):
            await receipt_of(sender, Outgoing(key, it.address, content))


async def a_card_shows_its_choice_and_its_end_in_place(it: ChannelUnderTest) -> None:
    """A channel with `card_edits` takes a changed card, and then its end, by the id of the receipt."""
    only(_can(it).buttons and _can(it).card_edits, "it cannot change a card")
    async with it.channel.sender() as sender:
        shown = await receipt_of(sender, Outgoing("out-1", it.address, with_marks(SEVERAL, ())))
        id_ = shown.platform_message_id
        require(id_ is not None, "the receipt of a card has no id, so no edit can name it")
        changed = CardEditContent(id_ or "", with_marks(SEVERAL, {"yes"}))
        await deliver(sender, Outgoing("out-2", it.address, changed))
        if _can(it).edits:
            await deliver(sender, Outgoing("out-3", it.address, EditContent(id_ or "", "Answer: Yes")))


async def what_users_press_is_offered(it: ChannelUnderTest) -> None:
    """A press is offered with the question's id, the option's value, the chat and the user."""
    host = Host()
    await _press(it, host)
    require(len(host.clicks) == 1, f"a button was pressed, and offered: {host.clicks}")
    [click] = host.clicks
    require(click.question_id == QUESTION.question_id, f"another question: {click}")
    require(click.value == "no", f"the button with the value 'no' was pressed: {click}")
    where = (click.address.channel_type, click.address.platform_id)
    wanted = (it.channel.channel_type, it.address.platform_id)
    require(where == wanted, f"it was pressed in {wanted}, and offered as from {where}")
    require_user(it.channel, click.user_id)


async def a_press_that_was_not_accepted_is_offered_again(it: ChannelUnderTest) -> None:
    """A press is offered again until it is on disk, like a message."""
    only(it.offers_again, "the network offers nothing again")
    await _press(it, host := Host(refusals=2))
    require(len(host.clicks) == 1, f"confirmed, and {len(host.clicks)} stored")


async def _press(it: ChannelUnderTest, host: Host) -> None:
    only(_can(it).buttons, "it has no buttons")
    presses = hook(it.presses, "presses")
    async with it.channel.sender() as sender, receiving(it.channel, host):
        await deliver(sender, Outgoing("out-1", it.address, QUESTION))
        await presses("No!")


def _can(it: ChannelUnderTest) -> Capabilities:
    return capabilities_of(it.channel)


async def _say(says: Callable[[str], Awaitable[None]], confirmed: trio.Event) -> None:
    await says("one")
    confirmed.set()


CHECKS: tuple[Callable[[ChannelUnderTest], Awaitable[None]], ...] = (
    a_delivery_gives_a_receipt,
    messages_keep_their_order,
    the_sender_can_be_opened_again,
    what_is_rejected_is_said_to_be,
    an_outage_is_no_rejection,
    what_was_unavailable_has_nothing,
    after_an_outage_messages_arrive,
    a_delivery_can_be_cancelled,
    it_says_what_to_do_about_doubts,
    an_idempotent_network_keeps_one_of_each,
    what_was_sent_is_found,
    what_was_doubtful_arrives_once,
    hints_never_raise,
    hints_show_nothing,
    hints_never_raise_when_the_network_is_down,
    drafts_never_raise,
    the_final_text_replaces_the_draft,
    an_empty_draft_removes_the_last_one,
    what_users_say_is_offered,
    events_have_ids_of_their_own,
    nothing_is_confirmed_before_it_is_stored,
    what_was_not_accepted_is_not_confirmed,
    what_was_cut_off_is_offered_again,
    a_channel_with_buttons_shows_cards,
    a_card_shows_its_choice_and_its_end_in_place,
    what_users_press_is_offered,
    a_press_that_was_not_accepted_is_offered_again,
    *contents.CHECKS,
    *connections.CHECKS,
)
