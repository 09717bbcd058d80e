"""Operations on the sessions of a running host, in virtual time."""

import re
from collections.abc import Awaitable, Callable
from math import inf

import pytest

from nanoclaw.operations import Forbidden
from nanoclaw.store import NotAllowed
from nanoclaw.testing import World, says, script, simulate, thinks
from nanoclaw.testing.world.chats import Chat

HOUR_S = 3600.0
ASK = '!ask_user_question {"title": "Ship", "question": "Ship it?", "options": ["Yes", "No"]}'
DELETED = "an administrator deleted the question: nobody will answer it"
EVERY_HOUR = '!schedule_task {"prompt": "tick", "recurrence": "@every 3600"}'


def with_task(story: Callable[[World, Chat, str], Awaitable[None]]) -> None:
    """Play a story in which an agent has a task that recurs each hour."""

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = await world.direct(ann)
        await ann.says(EVERY_HOUR)
        await chat.expect(re.compile("is scheduled"))
        [task] = await world.host.admin.tasks.list()
        await story(world, chat, task.id)

    simulate(scenario, seed=0)


def test_a_paused_task_does_not_run_until_it_is_resumed() -> None:
    async def story(world: World, chat: Chat, task: str) -> None:
        await world.host.admin.tasks.pause(task)
        await world.sleep(3 * HOUR_S)
        await chat.expect_nothing()
        await world.host.admin.tasks.resume(task)
        await chat.expect("echo: tick")

    with_task(story)


def test_a_task_can_be_run_immediately_and_keeps_its_schedule() -> None:
    async def story(world: World, chat: Chat, task: str) -> None:
        before = world.now
        await world.host.admin.tasks.run(task)
        await chat.expect("echo: tick")
        assert (world.now - before).total_seconds() < 60
        await world.sleep(HOUR_S + 60)
        await chat.expect("echo: tick")
        runs = await world.host.admin.tasks.history(task)
        assert [run.outcome for run in runs] == ["completed", "completed"]
        assert all(run.duration_s is not None for run in runs)

    with_task(story)


def test_a_cancelled_task_never_runs_again() -> None:
    async def story(world: World, chat: Chat, task: str) -> None:
        await world.host.admin.tasks.cancel(task)
        await world.sleep(5 * HOUR_S)
        await chat.expect_nothing()
        assert await world.host.admin.tasks.list() == []

    with_task(story)


def test_a_change_survives_a_kill_of_the_host() -> None:
    async def story(world: World, chat: Chat, task: str) -> None:
        await world.host.admin.tasks.pause(task)
        await world.kill_host()
        host = await world.start()
        assert [each.status for each in await host.admin.tasks.list()] == ["paused"]
        await world.sleep(2 * HOUR_S)
        await chat.expect_nothing()

    with_task(story)


def test_a_change_to_an_idle_session_leaves_it_idle_afterwards() -> None:
    async def story(world: World, _chat: Chat, task: str) -> None:
        admin = world.host.admin
        await admin.tasks.pause(task)
        await world.sleep(2 * HOUR_S)
        [session] = await admin.sessions.list()
        assert (await admin.sessions.show(session.id)).state is None
        with pytest.raises(NotAllowed, match="has no runner"):
            await admin.sessions.restart(session.id)
        await admin.tasks.cancel(task)
        await world.sleep(HOUR_S)
        assert (await admin.sessions.show(session.id)).state is None

    with_task(story)


def test_restarting_a_runner_starts_another_one_and_loses_nothing() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = await world.direct(ann)
        await ann.says("one")
        await chat.expect("echo: one")
        [session] = await world.host.admin.sessions.list()
        await world.host.admin.sessions.restart(session.id)
        await ann.says("two")
        await chat.expect("echo: two")

    simulate(scenario, seed=0)


def test_a_user_may_perform_only_operations_within_their_rights() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        await world.direct(ann)
        with pytest.raises(Forbidden, match=r"fake:ann may not do that: agents set needs an admin"):
            await world.host.admin_as(ann.id).agents.set("main", name="Mine")
        await world.grant(ann, "admin", "main")
        assert (await world.host.admin_as(ann.id).agents.set("main", name="Mine")).name == "Mine"

    simulate(scenario, seed=0)


def test_the_status_of_a_message_is_visible_at_every_step() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = await world.direct(ann, world.agent(brain=script([thinks(30), says("done")])))
        admin = world.host.admin

        async def states() -> list[str]:
            [message] = await admin.messages.list()
            shown = await admin.messages.show(message.id)
            assert shown.state == message.state
            return [shown.state, *(reply.status for reply in shown.replies)]

        world.channel.fail("unavailable", times=inf)
        await ann.says("hello")
        await world.sleep(10)
        assert await states() == ["claimed"]
        await world.sleep(30)
        assert await states() == ["answered", "pending"]
        [message] = await admin.messages.list()
        assert message.error == "the fake network is down"
        world.channel.heal()
        await chat.expect("done")
        await world.sleep(10)
        assert await states() == ["delivered", "delivered"]

    simulate(scenario, seed=0)


def test_the_status_of_a_message_can_be_read_at_any_time() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = await world.direct(ann)
        await ann.says("hello")
        await chat.expect("echo: hello")
        [message] = await world.host.admin.messages.list()
        shown = await world.host.admin.messages.show(message.id)
        assert (shown.text, shown.state) == ("hello", "delivered")
        assert shown.stored_at is not None
        assert shown.delivered_at is not None
        assert shown.stored_at <= shown.delivered_at
        assert [reply.status for reply in shown.replies] == ["delivered"]

    simulate(scenario, seed=0)


# -- questions


def test_deleting_a_question_ends_its_agents_wait() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = await world.direct(ann)
        await ann.says(ASK)
        await chat.expect("Ship it?", kind="card")
        before = world.now
        [question] = await world.host.admin.questions.list()
        await world.host.admin.questions.delete(question.question_id)
        await chat.expect(re.compile(DELETED))
        assert (world.now - before).total_seconds() < 60
        assert await world.host.admin.questions.list() == []
        await ann.says("still there?")
        await chat.expect("echo: still there?")
        dropped = await ann.clicks("Yes")
        assert dropped.dropped is not None

    simulate(scenario, seed=0)


def test_a_deleted_question_stays_deleted_when_an_interrupted_turn_is_retried() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = await world.direct(ann)
        await ann.says(ASK)
        await chat.expect("Ship it?", kind="card")
        [question] = await world.host.admin.questions.list()
        await world.host.admin.questions.delete(question.question_id)
        await world.kill_host()
        await world.start()
        await chat.expect(re.compile(DELETED))

    simulate(scenario, seed=0)


# -- messages that wait


def test_a_message_shows_when_it_was_claimed_even_after_it_is_answered() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = await world.direct(ann, world.agent(brain=script([thinks(30), says("done")])))
        await ann.says("hello")
        await chat.expect("done")
        await world.sleep(10)
        [listed] = await world.host.admin.messages.list()
        shown = await world.host.admin.messages.show(listed.id)
        assert shown.state == "delivered"
        times = [shown.stored_at, shown.claimed_at, shown.answered_at, shown.delivered_at]
        assert None not in times
        assert times == sorted(times, key=str)
        assert listed.claimed_at == shown.claimed_at

    simulate(scenario, seed=0)


def test_a_waiting_message_shows_the_reason() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = await world.direct(ann)
        await ann.says("one")
        await chat.expect("echo: one")
        admin = world.host.admin
        [session] = await admin.sessions.list()
        await admin.sessions.pause(session.id)
        await ann.says("two")
        await world.sleep(10)
        [two, one] = await admin.messages.list()
        assert (two.state, two.waits_for) == ("stored", "its session is paused")
        assert one.waits_for is None
        with pytest.raises(NotAllowed, match="gets none while it is paused; resume it first"):
            await admin.sessions.restart(session.id)
        await admin.sessions.resume(session.id)
        await chat.expect("echo: two")

    simulate(scenario, seed=0)


def test_a_message_in_a_chat_without_an_agent_is_listed_as_dropped() -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start()
        chat = world.group("club", [ann])
        for text in ("hello?", "anybody?"):
            await ann.says(text, in_=chat)
        [dropped] = await world.host.admin.dropped.list()
        assert (dropped.reason, dropped.message_count) == ("no agent is wired to this chat", 2)

    simulate(scenario, seed=0)
