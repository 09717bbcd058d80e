"""The world of the harness: users, chats, restarts and kills, and the texts of failures."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from agent_runner.providers import Toolbox
from agent_runner.providers.echo import Echo
from agent_runner.records import Turn
from nanoclaw.config import ConfigError
from nanoclaw.store import OperationRefused, StoreError
from nanoclaw.testing import (
    Brain,
    ExpectationFailed,
    FakeChannel,
    Script,
    Standstill,
    World,
    WorldError,
    asks,
    calls,
    fails,
    says,
    script,
    simulate,
    thinks,
)
from nanoclaw.testing.world.executor import When


async def test_the_agent_answers(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")


async def test_the_default_brain_is_the_runner_s_echo_provider_with_its_tools(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says('!send_message {"text": "sent"}')
    await chat.expect("sent")
    await ann.says('!ask_user_question {"title": "T", "question": "Ship it?", "options": ["Approve"]}')
    await ann.clicks("Approve")
    await chat.expect("Approve")


async def test_a_brain_function_receives_the_turn_and_the_tools(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> str:
        await tools.call("send_message", {"text": "let me see"})
        return f"{turn.messages[0].content['sender']} said {turn.messages[0].content['text']}"

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("hello")
    await chat.expect("let me see")
    await chat.expect("ann said hello")


async def test_a_script_is_played_turn_by_turn_and_then_says_nothing(world: World) -> None:
    second = [thinks(30), calls("send_message", text="two"), says("and {text}")]
    world.agent(brain=script(says("one"), second))
    ann = world.user("ann")
    chat = await world.direct(ann)
    for text in ("a", "b", "c"):
        await ann.says(text)
        await world.sleep(minutes=1)
    assert [entry.text for entry in chat.transcript] == ["a", "one", "b", "two", "and b", "c"]
    took = chat.transcript[3].at - chat.transcript[2].at
    assert 30 <= took.total_seconds() < 31


async def test_an_interrupted_turn_of_a_script_is_played_again(world: World) -> None:
    world.agent(brain=script([thinks(60), says("one")], says("two")))
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("a")
    await world.sleep(30)
    world.kill_runner()
    await chat.expect("one")
    await ann.says("b")
    await chat.expect("two")


@pytest.mark.parametrize("death", ["stopped", "killed", "runner killed"])
async def test_a_scripted_question_survives_every_interruption(world: World, death: str) -> None:
    ann = world.user("ann")
    brain = script(asks("Ship it?", "Approve", "Reject"), says("again {text}"))
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("deploy")
    await chat.expect("Ship it?", kind="card")
    await world.sleep(1)
    await interrupted(world, death)
    await ann.clicks("Approve")
    await chat.expect("Approve")
    await ann.says("deploy")
    await chat.expect("again deploy")


async def interrupted(world: World, death: str) -> None:
    if death == "runner killed":
        world.kill_runner()
    elif death == "killed":
        await world.kill_host()
        await world.start()
    else:
        await world.restart()


async def test_a_turn_that_shares_a_message_with_an_interrupted_turn_replays_its_script_step(
    world: World,
) -> None:
    world.agent(brain=script([thinks(60), says("one: {text}")], says("two")))
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("a")
    await world.sleep(30)
    await world.stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ann.says, "b")
        await world.start()
    await chat.expect("one: b")
    await ann.says("c")
    await chat.expect("two")


async def test_a_turn_whose_brain_fails_is_retried(world: World) -> None:
    answers = iter([fails("overloaded"), says("here I am")])

    async def brain(turn: Turn, tools: Toolbox) -> str | None:
        return await next(answers)(turn, tools)

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("hello?")
    await chat.expect("here I am")


async def test_two_agents_in_a_group_each_answer_only_their_own_messages(world: World) -> None:
    ann, bob = world.user("ann"), world.user("bob")
    club = world.group("club", [ann, bob])
    cook, clerk = world.agent("cook", says_name("cook")), world.agent("clerk", says_name("clerk"))
    await world.wire(club, cook, trigger_rules={"pattern": "^cook"})
    await world.wire(club, clerk, trigger_rules={"pattern": "^clerk"})
    await ann.says("cook, dinner?", in_=club)
    await club.expect("cook")
    await bob.says("clerk, letters?", in_=club)
    await club.expect("clerk")
    await ann.says("nobody", in_=club)
    await club.expect_nothing(within=60)


def says_name(name: str) -> Script:
    return script(*[says(name)] * 5)


async def test_threads_are_separate_chats(world: World) -> None:
    ann = world.user("ann")
    club = world.group("club", [ann])
    await world.wire(club, session_mode="per-thread")
    garden, kitchen = club.thread("garden"), club.thread("kitchen")
    await ann.says("weeds", in_=garden)
    await ann.says("soup", in_=kitchen)
    await garden.expect("echo: weeds")
    await kitchen.expect("echo: soup")
    assert len(garden.transcript) == len(kitchen.transcript) == 2
    assert len(club.transcript) == 4


async def test_access_is_decided_as_in_production(world: World) -> None:
    ann, bob, cat = world.user("ann"), world.user("bob"), world.user("cat")
    club = world.group("club", [ann, bob, cat])
    await world.wire(club, policy="strict")
    await world.grant(ann, "owner")
    await world.admit(bob)
    for user in (ann, bob, cat):
        await user.says(user.name, in_=club)
    await club.expect("echo: bob")
    await club.expect_nothing(within=60)
    assert {one.user_id for one in await world.host.admin.unregistered_senders.list()} == {"fake:cat"}


async def test_files_edits_and_reactions_are_in_the_transcript(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> None:
        await tools.call("add_reaction", {"message_id": turn.messages[0].seq, "emoji": "👍"})
        sent = await tools.call("send_message", {"text": "draft"})
        number = int(sent.rsplit(" ", 1)[1])
        await trio.sleep(5)
        await tools.call("edit_message", {"message_id": number, "text": "final"})

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("look", files={"a.txt": b"hello"})
    said = chat.transcript[0]
    assert (await chat.expect("👍", kind="reaction")).about == said.id
    draft = await chat.expect("draft")
    assert (await chat.expect("final", kind="edit")).about == draft.id
    assert said.files == {"a.txt": b"hello"}


def test_a_world_continues_in_the_home_of_an_earlier_one(tmp_path: Path) -> None:
    async def scenario(world: World) -> list[str | None]:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent(brain=script(says("one"), says("two"))))
        await ann.says("hello")
        await chat.expect("one")
        await world.channel.say("hello again", chat="ann", user="ann")
        await chat.expect("two")
        return [entry.id for entry in chat.transcript]

    ids = [simulate(scenario, seed=1, home=tmp_path)[0] for _ in range(3)]
    assert ids == [
        ["event-1", "fake-1", "fake-2"],
        ["event-2.1", "fake-2.1", "fake-2.2"],
        ["event-3.1", "fake-3.1", "fake-3.2"],
    ]


async def test_an_agent_requested_again_keeps_its_brain(world: World) -> None:
    ann, brain = world.user("ann"), script(says("one"), says("two"))
    agent = world.agent("cook", brain)
    chat = await world.direct(ann, agent)
    await ann.says("hello")
    await chat.expect("one")
    assert world.agent("cook") is world.agent("cook", brain) is agent
    await world.restart()
    await world.wire(chat, "cook")
    await ann.says("hello")
    await chat.expect("two")
    for other in ("echo", script(says("three"))):
        with pytest.raises(WorldError, match="the agent 'cook' already has another brain"):
            world.agent("cook", other)


async def test_wiring_a_chat_again_changes_only_the_named_settings(world: World) -> None:
    ann = world.user("ann")
    club = world.group("club", [ann])
    await world.wire(club, trigger_rules={"pattern": "^bot"}, session_mode="per-thread")
    await ann.says("hello", in_=club)
    await club.expect_nothing(within=60)
    again = await world.wire(club, trigger_rules=None, priority=3)
    assert (again.trigger_rules, again.priority, again.session_mode) == ({}, 3, "per-thread")
    assert again == (await world.wire(club))
    await ann.says("hello", in_=club)
    await club.expect("echo: hello")


async def test_a_file_that_is_not_bytes_is_refused_before_the_message_is_sent(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    files: Any = {"list.txt": "milk"}
    with pytest.raises(WorldError, match=r"ann\.says: files\['list\.txt'\] must be bytes, got 'milk'"):
        await ann.says("hello", files=files)
    assert not chat.transcript


async def test_a_message_without_a_host_fails_with_a_hint(world: World) -> None:
    ann = world.user("ann")
    with pytest.raises(ExpectationFailed, match=r"no host runs: `await world\.wire\(chat\)` starts it"):
        await ann.says("hello", in_=world.group("club", [ann]))


async def test_a_world_cannot_be_opened_twice(autojump_clock: MockClock) -> None:
    del autojump_clock
    world = World()
    with pytest.raises(WorldError, match="the world is not open"):
        await world.start()
    async with world:
        await world.start()
    with pytest.raises(WorldError, match="the world is not open"):
        await world.start()
    with pytest.raises(WorldError, match="a world can be entered only once"):
        await world.__aenter__()


@pytest.mark.parametrize(
    "wrong", [{"session_mode": "alone"}, {"priority": "high"}, {"trigger_rules": {"pattern": "("}}]
)
async def test_invalid_wiring_settings_are_refused_even_if_the_wiring_exists(
    world: World, wrong: dict[str, Any]
) -> None:
    for _ in range(2):
        with pytest.raises((OperationRefused, StoreError)):
            await world.direct(world.user("ann"), **wrong)
        await world.direct(world.user("ann"))


async def test_invalid_arguments_are_refused_at_once(world: World) -> None:
    ann, wrong = world.user("ann"), cast("Any", 5)
    chat = await world.direct(ann)
    before = world.now
    with pytest.raises(WorldError, match=r"kind='zzz'\): kind must be one of message, edit"):
        await chat.expect("x", kind=cast("Any", "zzz"))
    with pytest.raises(WorldError, match=r"ann\.says: text must be a str, got 5"):
        await ann.says(wrong)
    assert (world.now, chat.transcript) == (before, ())
    with pytest.raises(WorldError, match="'x' must be a function that makes a provider, got 5"):
        World(providers={"x": wrong})
    with pytest.raises(WorldError, match=r"World\(seed='x'\): seed must be an int"):
        World(seed=cast("Any", "x"))
    with pytest.raises(WorldError, match="limit_days must be more than 0"):
        World(limit_days=0)


async def test_a_failure_shows_each_message_on_one_line(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("a\nb \x1b[2J\u2028 Grüße 🌍")
    with pytest.raises(ExpectationFailed) as caught:
        await chat.expect("nothing", within=1)
    assert not set("\x1b\u2028") & set(str(caught.value))
    assert r"ann: a\nb \x1b[2J\u2028 Grüße 🌍" + "\n" in str(caught.value)


# -- restarts and kills ----------------------------------------------------------------------


async def test_a_restart_loses_nothing(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("a")
    await chat.expect("echo: a")
    await world.restart(prompt={"assistant_name": "Other"})
    assert world.host.config.prompt.assistant_name == "Other"
    await ann.says("b")
    await chat.expect("echo: b")


async def test_a_message_sent_while_no_host_runs_is_confirmed_by_the_next_host(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await world.kill_host()
    with pytest.raises(WorldError, match="does not run"):
        _ = world.host
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ann.says, "hello?")
        await world.sleep(30)
        await world.start()
    await chat.expect("echo: hello?")


async def test_a_kill_before_a_commit_leaves_its_hot_journal_for_the_next_life(
    world: World,
) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("first")
    await chat.expect("echo: first")
    left = list[str]()

    def kill(path: Path, when: When, n: int) -> None:
        del n
        if when == "before" and path.name == "inbound.db":
            world.kill_host_now()

    world.commit_hooks.append(kill)
    with trio.move_on_after(10):
        await ann.says("second")
    left = sorted(file.name for file in world.home.glob("data/sessions/*/*/inbound/inbound.db*"))
    world.commit_hooks.clear()
    assert left == ["inbound.db", "inbound.db-journal"]
    await world.start()
    await ann.says("third")
    await chat.expect("echo: third")


async def test_a_killed_host_delivers_nothing(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=script([thinks(5), says("one")])))
    await ann.says("a")
    world.channel.fail("hang")
    await world.sleep(10)
    world.kill_host_now()
    world.channel.heal()  # what was under way would arrive now
    await chat.expect_nothing(within=60)
    await world.start()
    await chat.expect("one")


# -- texts of failures -------------------------------------------------------------


async def test_a_failed_expectation_shows_the_transcript_and_the_timeline(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    with pytest.raises(ExpectationFailed) as failed:
        await chat.expect(re.compile("good(bye|night)"), within=5)
    text = str(failed.value)
    assert "expected the message /good(bye|night)/ within 5 s" in text
    assert "2026-01-01 00:00:00 ann: hello" in text
    assert "agent: echo: hello" in text
    assert "seed 0" in text
    assert re.search(r"0\.2\d* +delivered +ann", text)


async def breaks(turn: Turn, _tools: Toolbox) -> str:
    await trio.lowlevel.checkpoint()
    return turn.message.content["text"]  # type: ignore[attr-defined,no-any-return]  # that is what breaks


HERE = breaks.__code__.co_firstlineno + 2


async def in_a_nursery(turn: Turn, tools: Toolbox) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(breaks, turn, tools)


async def counts(_turn: Turn, _tools: Toolbox) -> Any:
    return 5


MISTAKES: list[tuple[Brain, str]] = [
    (counts, "TypeError: the brain returned 5: a text, a Result or None is an answer"),
    (breaks, f"AttributeError: 'Turn' object has no attribute 'message' (test_world.py:{HERE})"),
    (in_a_nursery, f"AttributeError: 'Turn' object has no attribute 'message' (test_world.py:{HERE})"),
    (script(fails("overloaded")), "ProviderError: overloaded"),
    (script(calls("no_such_tool")), "ToolError: "),
]


@pytest.mark.parametrize(
    ("brain", "what"), MISTAKES, ids=["no text", "by a slip", "in a nursery", "on purpose", "tool"]
)
async def test_a_failed_expectation_shows_the_error_raised_by_the_brain(
    world: World, brain: Brain, what: str
) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("hello")
    with pytest.raises(ExpectationFailed) as failed:
        await chat.expect("hello", within=60)
    lines = str(failed.value).splitlines()
    [named] = [line for line in lines if line.startswith("the brain of main raised ")]
    assert named.startswith(f"the brain of main raised {what}")
    assert named.endswith(" times")
    told = [line for line in world.timeline.lines if "brain raised  main" in line]
    assert len(told) == int(named.split()[-2])
    assert what in told[0]
    assert float(told[0].split()[0]) < 1


async def test_an_unconfirmed_message_is_a_failed_expectation(world: World) -> None:
    ann = world.user("ann")
    with pytest.raises(ExpectationFailed, match="the host did not confirm it within 5 s"):
        await ann.says("hello", in_=world.chat(ann), within=5)


async def test_a_user_without_a_chat_gets_an_error_with_a_hint(world: World) -> None:
    with pytest.raises(WorldError, match=r"await world\.direct\(ann\)"):
        await world.user("ann").says("hello")


def test_a_world_without_virtual_time_fails_with_a_hint() -> None:
    async def main(clock: object) -> None:
        del clock
        with pytest.raises(WorldError, match="MockClock"):
            async with World():
                pass

    trio.run(main, None)
    trio.run(main, None, clock=MockClock())


async def run_in_circles(world: World) -> None:
    async with world.life():
        while True:
            await world.executor.run(lambda: None)


def test_a_loop_without_waiting_is_stopped() -> None:
    with pytest.raises(Standstill, match=r"100,000 calls of the store, and it is still 0\.0 s"):
        simulate(run_in_circles, seed=1)


def test_a_standstill_ends_the_world_even_if_its_error_is_swallowed() -> None:
    async def scenario(world: World) -> None:
        with suppress(Standstill):
            await run_in_circles(world)

    with pytest.raises(Standstill):
        simulate(scenario, seed=1)


# -- settings ---------------------------------------------------------------------------

UNFIT: dict[str, Any] = {
    "timezone": "Mars/Base",
    "runtime.idle_s": 0.0,
    "retry.max_tries": 1.5,
    "delivery.backoff_s": (5.0, -1.0),
    "colour": "red",
}


@pytest.mark.parametrize("key", UNFIT)
async def test_a_world_refuses_settings_that_a_configuration_file_may_not_contain(
    world: World, key: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^settings: {key}\b"):
        World(settings={key: UNFIT[key]})
    with pytest.raises(ConfigError, match=rf"^settings: {key}\b"):
        await world.start(**{key: UNFIT[key]})
    await world.start(delivery={"backoff_s": (1, 2)}, timezone="Europe/Berlin")
    assert world.host.config.delivery.backoff_s == (1.0, 2.0)


# -- real time ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.world(real=True, channel=FakeChannel())
async def test_a_conversation_works_in_real_time_with_real_processes(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello", within=60)
    await world.restart()
    await ann.says("again")
    await chat.expect("echo: again", within=60)
    with pytest.raises(WorldError, match="brain must be the name of a provider"):
        world.agent("other", script(says("x")))
    with pytest.raises(WorldError, match="has no virtual clock"):
        _ = world.clock


@pytest.mark.slow
@pytest.mark.world(real=True, channel=FakeChannel(), settings={"retry.base_s": 0.05})
async def test_a_runner_is_killed_in_real_time_and_another_one_answers(world: World) -> None:
    ann = world.user("ann")
    world.kill_runner()  # there is none
    chat = await world.direct(ann)
    await ann.says('!ask_user_question {"title": "T", "question": "Ship it?", "options": ["Approve"]}')
    await chat.expect("Ship it?", kind="card", within=60)
    world.kill_runner()
    await ann.clicks("Approve", within=60)
    await chat.expect("Approve", within=60)
    told = [line.split("  ")[-1] for line in world.timeline.events() if "runner " in line]
    assert told[1] == "the runner was killed by SIGKILL"
    assert len(told) == 3  # and another one was started


@pytest.mark.parametrize(
    "unfit", [{"outliving": True}, {"commit_hooks": [print]}, {"providers": {"x": Echo}}]
)
async def test_a_real_time_world_refuses_features_that_need_simulation(unfit: dict[str, Any]) -> None:
    with pytest.raises(WorldError, match=f"World\\(real=True\\) cannot take {next(iter(unfit))}"):
        async with World(real=True, **unfit):
            pass
