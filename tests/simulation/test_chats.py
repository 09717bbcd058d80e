"""Users and chats of a world: which card a click presses, what was read, which names go together."""

import re

import pytest
import trio

from agent_runner.errors import ProviderError
from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.testing import ExpectationFailed, World, WorldError, asks, fails, says, script, thinks

# -- clicks -----------------------------------------------------------------------


async def test_a_click_waits_for_an_unanswered_card(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=script(asks("1?", "Y", "N"), asks("2?", "Y", "N"))))
    await ann.says("a")
    await ann.clicks("Y")
    await ann.says("b")
    routed = await ann.clicks("N")
    assert routed.dropped is None
    await chat.expect("Y")
    await chat.expect("N")
    first, second = [entry.id for entry in chat.transcript if entry.kind == "card"]
    assert [entry.about for entry in chat.transcript if entry.kind == "click"] == [first, second]


async def test_a_named_card_can_be_pressed_again_and_the_transcript_shows_the_drop(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=script(asks("1?", "Y", "N"))))
    await ann.says("a")
    card = await chat.expect(kind="card")
    await ann.clicks("Y")
    routed = await ann.clicks("N", card=card)
    assert routed.dropped is not None
    with pytest.raises(ExpectationFailed) as failed:
        await chat.expect("N", within=5)
    assert f"ann (click of fake-1, dropped: {routed.dropped}): N" in str(failed.value)
    assert re.search(rf"click dropped +ann +click-3 +{re.escape(routed.dropped)}", str(failed.value))


async def test_a_click_without_an_open_card_explains_how_to_press_an_answered_card(world: World) -> None:
    ann = world.user("ann")
    await world.direct(ann, world.agent(brain=script(asks("1?", "Y", "N"))))
    await ann.says("a")
    await ann.clicks("Y")
    began = trio.current_time()
    with pytest.raises(ExpectationFailed, match=r"'N', and there is none that has no answer yet.*`card=`"):
        await ann.clicks("N", within=30)
    assert trio.current_time() - began == 30


async def test_a_click_on_a_button_that_the_card_lacks_fails(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=script(asks("1?", "Y", "N"))))
    await ann.says("a")
    card = await chat.expect(kind="card")
    with pytest.raises(ExpectationFailed, match=r"no button 'Maybe' on .*1\? \[Y\] \[N\]"):
        await ann.clicks("Maybe", card=card)


async def test_the_transcript_shows_that_a_message_was_dropped(world: World) -> None:
    ann, eve = world.user("ann"), world.user("eve")
    club = world.group("club", [ann, eve])
    await world.wire(club, policy="strict")
    routed = await eve.says("let me in", in_=club)
    assert routed.dropped
    assert str(club.transcript[0]).endswith(f"eve (dropped: {routed.dropped}): let me in")


# -- scripts that ask ---------------------------------------------------------------


@pytest.mark.parametrize("max_tries", [1, 5])
async def test_a_click_after_a_turn_has_failed_for_good_begins_the_next_turn_of_a_script(
    world: World, max_tries: int
) -> None:
    await world.start(retry={"max_tries": max_tries})
    ann = world.user("ann")
    brain = script([asks("Ship?", "Yes", "No", timeout_s=10), fails("down")], says("got {text}"))
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("deploy")
    await chat.expect(re.compile("^I could not answer your message after"), within=600)
    assert (await ann.clicks("Yes")).dropped is None
    await chat.expect("got Yes", within=60)


async def test_a_click_after_the_turn_that_asked_begins_the_next_turn_of_a_script(world: World) -> None:
    ann = world.user("ann")
    brain = script(asks("Ship?", "Yes", "No", timeout_s=10), says("got {text}"))
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("deploy")
    await chat.expect("Ship?", kind="card")
    await world.sleep(20)
    await ann.clicks("Yes")
    await chat.expect("got Yes")


async def test_a_click_between_two_tries_of_a_turn_answers_the_next_try(world: World) -> None:
    async def fails_once(turn: Turn, _tools: Toolbox) -> None:
        await trio.lowlevel.checkpoint()
        if not turn.messages[0].tries:
            raise ProviderError("down")

    ann = world.user("ann")
    brain = script([asks("Ship?", "Yes", "No", timeout_s=10), fails_once], says("again {text}"))
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("deploy")
    await chat.expect("Ship?", kind="card")
    await world.sleep(20)
    await ann.clicks("Yes")
    await chat.expect("Yes")
    await ann.says("deploy")
    await chat.expect("again deploy")


# -- what was read --------------------------------------------------------------------


async def test_two_references_to_a_thread_share_the_reading_position(world: World) -> None:
    ann = world.user("ann")
    club = world.group("club", [ann])
    await world.wire(club, session_mode="per-thread")
    await ann.says("a", in_=club.thread("t"))
    await club.thread("t").expect("echo: a")
    with pytest.raises(ExpectationFailed):
        await club.thread("t").expect("echo: a", within=60)
    await club.thread("other").thread("t").expect_nothing(within=60)
    await club.expect("echo: a")


# -- names ----------------------------------------------------------------------------


async def test_direct_chats_and_groups_have_distinct_names(world: World) -> None:
    ann, team = world.user("ann"), world.user("team")
    world.group("team", [ann, team])
    with pytest.raises(WorldError, match="cannot both be called 'team'"):
        world.chat(team)
    world.chat(ann)
    with pytest.raises(WorldError, match="cannot both be called 'ann'"):
        world.group("ann", [ann])


async def test_a_group_is_created_with_all_its_members(world: World) -> None:
    ann, bob = world.user("ann"), world.user("bob")
    club = world.group("club", [ann])
    with pytest.raises(WorldError, match="'club' already exists, with fake:ann; name all its members"):
        world.group("club", [ann, bob])
    assert world.group("club", [world.user("ann")]) is club


# -- the typing sign ------------------------------------------------------------------


async def test_the_typing_sign_is_repeated_while_a_turn_works_and_no_longer(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=script([thinks(30), says("done")])))
    await ann.says("work")
    await chat.expect("done", within=40)
    assert 8 <= len(world.channel.typing_in) <= 9
    await world.sleep(60)
    assert len(world.channel.typing_in) <= 9
    assert set(world.channel.typing_in) == {chat.address}


async def test_the_typing_sign_ends_with_the_runner(world: World) -> None:
    ann = world.user("ann")
    await world.direct(ann, world.agent(brain=script([thinks(3000)], [thinks(3000)])))
    await ann.says("work")
    await world.sleep(10)
    [session] = await world.host.admin.sessions.list()
    await world.host.admin.sessions.pause(session.id)
    await world.sleep(5)
    shown = len(world.channel.typing_in)
    await world.sleep(60)
    assert len(world.channel.typing_in) == shown
