"""Sessions wait when a budget is used up, say so once, and go on by themselves."""

import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.budgets import BudgetKeeper
from nanoclaw.gateway.meter import ModelUsage
from nanoclaw.testing import FakeChannel, World
from nanoclaw.testing.world.chats import Chat, User
from nanoclaw.testing.world.errors import HostKilled
from nanoclaw.testing.world.executor import When
from tests.kills import kill_at

USED_UP = re.compile(r"^My budget for today is used up \(3 of 3 turns of this conversation\)")
pytestmark = pytest.mark.world(settings={"budgets.session.turns": 3})


def keeper(world: World) -> BudgetKeeper:
    """Return the meter of the running host."""
    owner = world.host._ground.write_usage.__self__  # type: ignore[attr-defined]  # a bound method
    assert isinstance(owner, BudgetKeeper)
    return owner


def texts(chat: Chat) -> list[str]:
    return [entry.text for entry in chat.transcript if entry.from_agent]


async def use_up(ann: User, chat: Chat) -> None:
    """Use three turns, and write a message that must wait."""
    for text in ("a", "b", "c"):
        await ann.says(text)
        await chat.expect(f"echo: {text}")
    await ann.says("d")
    await chat.expect(USED_UP)


async def test_a_session_waits_until_midnight_and_then_goes_on_by_itself(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await use_up(ann, chat)
    await ann.says("e")
    await chat.expect_nothing(within=23 * 3600)
    await chat.expect(re.compile("echo: d"), within=3700)
    assert world.now.hour == 0


async def test_people_are_told_once_until_when_their_messages_wait(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await use_up(ann, chat)
    await ann.says("e")
    await world.restart()
    await ann.says("f")
    await chat.expect_nothing(within=3600)
    [notice] = [text for text in texts(chat) if USED_UP.match(text)]
    assert notice.endswith(
        "Your messages are kept. I will answer at 2026-01-02 00:00 (UTC), or earlier if the owner raises it."
    )


async def test_the_status_shows_a_session_that_waits(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await use_up(ann, chat)
    report = await world.host.status()
    [session] = report.living_sessions
    assert session.status == "active"
    assert session.details is not None
    assert session.details.runner.state == "absent"
    assert session.details.to_answer == 1
    assert session.details.used_up == (
        "the budget for today is used up: 3 of 3 turns of this conversation; "
        "it resumes at 2026-01-02 00:00 (UTC)"
    )
    assert report.budgets == (f"used up: 3 of 3 turns of session:{session.id}",)


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart"])
@pytest.mark.parametrize("by", ["set", "reset", "agent"])
async def test_a_session_goes_on_at_once_after_a_change_of_its_budget(
    world: World, by: str, *, restarted: bool
) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await use_up(ann, chat)
    if restarted:
        await world.restart()
    [session] = await world.host.admin.sessions.list()
    if by == "set":
        await world.host.admin.budgets.set(f"session:{session.id}", turns="4")
    elif by == "reset":
        await world.host.admin.budgets.reset(f"session:{session.id}")
    else:
        await world.host.admin.budgets.set(f"session:{session.id}", turns="none")
    await chat.expect("echo: d", within=2)


async def test_a_raised_budget_that_is_used_up_again_is_told_again(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await use_up(ann, chat)
    [session] = await world.host.admin.sessions.list()
    await world.host.admin.budgets.set(f"session:{session.id}", turns="4")
    await chat.expect("echo: d")
    await ann.says("e")
    await chat.expect(re.compile("4 of 4 turns"))


async def test_a_lowered_budget_holds_at_once(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("a")
    await chat.expect("echo: a")
    await world.host.admin.budgets.set("day", turns="1")
    await ann.says("b")
    await chat.expect(re.compile("1 of 1 turns of the whole installation"))


async def test_a_budget_of_0_allows_nothing(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await world.host.admin.budgets.set("agent:main", turns="0")
    await ann.says("a")
    await chat.expect(re.compile("0 of 0 turns of this agent.*once the owner allows it"))
    await chat.expect_nothing(within=26 * 3600)


async def test_the_budget_of_an_agent_holds_all_its_sessions_and_no_others(world: World) -> None:
    ann, bob = world.user("ann"), world.user("bob")
    hers, his = await world.direct(ann), await world.direct(bob)
    others = await world.wire(world.group("others", [bob]), world.agent("other"))
    del others
    await world.host.admin.budgets.set("agent:main", turns="1")
    await ann.says("a")
    await hers.expect("echo: a")
    await bob.says("b")
    await his.expect(re.compile("1 of 1 turns of this agent"))
    assert keeper(world).refusal("unknown", "unknown") is None


async def test_a_task_waits_without_a_word_and_runs_the_next_day(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says('!schedule_task {"prompt": "tea", "process_after": "2026-01-01T12:00:00Z"}')
    await chat.expect(re.compile("task-"))
    await world.host.admin.budgets.set("day", turns="1")
    await chat.expect_nothing(within=23 * 3600)
    await chat.expect("echo: tea", within=3700)


# -- the date ------------------------------------------------------------------


async def test_a_jump_past_midnight_ends_the_wait_at_once(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await use_up(ann, chat)
    world.clock.jump(timedelta(days=1))
    await chat.expect("echo: d", within=2)


async def test_a_jump_that_ended_before_the_start_ends_the_wait(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await use_up(ann, chat)
    await world.stop()
    world.clock.jump(timedelta(days=1))
    await world.start()
    await chat.expect("echo: d", within=2)


async def test_a_date_that_is_set_back_counts_that_day_again(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await use_up(ann, chat)
    world.clock.jump(timedelta(days=1))
    await chat.expect("echo: d", within=2)
    world.clock.jump(timedelta(days=-1))
    await world.sleep(1)
    await ann.says("e")
    await chat.expect_nothing(within=3600)  # the notice of that day was told before
    await chat.expect("echo: e", within=86_400)


@pytest.mark.world(settings={"budgets.session.turns": 3, "timezone": "Europe/Berlin"})
async def test_the_day_with_23_hours_ends_at_midnight(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    world.clock.jump(timedelta(days=86, hours=22, minutes=59))  # 2026-03-28 23:59 in Berlin
    await use_up(ann, chat)
    await chat.expect("echo: d", within=61)
    assert world.now.isoformat() >= "2026-03-28T23:00"
    for text in ("e", "f"):
        await ann.says(text)
        await chat.expect(f"echo: {text}")
    await ann.says("g")
    await chat.expect(re.compile("2026-03-30 00:00"))
    await chat.expect("echo: g", within=23 * 3600 + 1)
    assert world.now.isoformat(timespec="seconds") == "2026-03-29T22:00:00+00:00"


# -- models --------------------------------------------------------------------


def spent(session_id: str, dollars: float, tool_calls: int = 0) -> ModelUsage:
    """Return a request of this price."""
    return ModelUsage(
        session_id=session_id,
        agent_group_id="ag",
        provider="anthropic",
        model="claude-sonnet-4-5",
        output_tokens=round(dollars / 15 * 1_000_000),
        tool_calls=tool_calls,
    )


@pytest.mark.world(settings={"budgets.day.money": 1.5})
async def test_what_a_model_took_is_on_disk_when_it_is_recorded(world: World) -> None:
    await world.direct(world.user("ann"))
    await keeper(world).spent(spent("s", 0.75, tool_calls=2))
    await world.kill_host()
    await world.start()
    [row] = await world.host.admin.usage.show(by="model")
    assert (row.name, row.output, row.tool_calls) == ("anthropic/claude-sonnet-4-5", 50_000, 2)
    assert (row.micro_dollars, row.cost) == (750_000, "$0.75")


@pytest.mark.parametrize(("moment", "counted"), [("before", 0), ("after", 750_000)])
async def test_a_request_counts_wholly_or_not_at_all_if_the_host_is_killed(
    world: World, moment: When, counted: int
) -> None:
    await world.direct(world.user("ann"))

    def at_commit(path: Path, when: When, n: int) -> None:
        del n
        if (path.name, when) == ("v2.db", moment):
            world.commit_hooks.clear()
            world.kill_host_now()

    world.commit_hooks.append(at_commit)
    with trio.move_on_after(1), suppress(HostKilled):
        await keeper(world).spent(spent("s", 0.75))
    await world.ended()
    await world.start()
    assert sum(row.micro_dollars for row in await world.host.admin.usage.show()) == counted


@pytest.mark.world(settings={"budgets.day.money": 1.5})
async def test_the_gateway_is_told_why_it_must_refuse(world: World) -> None:
    await world.direct(world.user("ann"))
    assert keeper(world).refusal("s", "ag") is None
    await keeper(world).spent(spent("s", 1.5))
    assert keeper(world).refusal("another", "another") == (
        "the budget for today is used up: $1.50 of $1.50 of the whole installation; it resumes at "
        "2026-01-02 00:00 (UTC). To raise it: nanoclaw budgets set day --money 3"
    )
    await world.host.admin.budgets.set("day", money="3")
    await world.sleep(0.1)
    assert keeper(world).refusal("s", "ag") is None


@pytest.mark.world(settings={"budgets.day.money": 1.5})
async def test_requests_that_end_together_share_commits_and_none_is_lost(world: World) -> None:
    await world.direct(world.user("ann"))
    before = world.executor.commits
    async with trio.open_nursery() as nursery:
        for n in range(50):
            nursery.start_soon(keeper(world).spent, spent(f"s{n}", 0.015))
    assert world.executor.commits - before < 10
    [row] = await world.host.admin.usage.show()
    assert row.micro_dollars == 750_000


@pytest.mark.world(settings={"budgets.day.money": 1.5})
async def test_a_turn_whose_answer_is_paid_for_may_end(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> str:
        del tools
        await keeper(world).spent(spent("s", 2))
        await trio.sleep(60)
        return f"thought about {turn.messages[-1].content['text']}"

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("a")
    await chat.expect("thought about a", within=70)
    await ann.says("b")
    await chat.expect(re.compile(r"\$2.00 of \$1.50 of the whole installation"))


@pytest.mark.world(settings={"budgets.day.money": 1.5})
async def test_a_turn_that_does_not_end_is_stopped_after_5_minutes(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> str:
        del turn, tools
        await keeper(world).spent(spent("s", 2))
        await trio.sleep(3600)
        return "late"

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("a")
    await chat.expect(re.compile("My budget for today is used up"), within=310)
    assert not world.runtime.runners


async def test_a_server_cannot_fill_the_database_with_names(world: World) -> None:
    await world.direct(world.user("ann"))
    for n in range(30):
        usage = ModelUsage(
            session_id="s", agent_group_id="ag", provider="p", model=f"m{n}\ud800", input_tokens=1
        )
        await keeper(world).spent(usage)
    rows = await world.host.admin.usage.show(by="model")
    assert len(rows) == 21
    assert sum(row.input for row in rows) == 30
    assert {row.cost for row in rows} == {"?"}


# -- the owner -----------------------------------------------------------------


@pytest.mark.world(settings={"budgets.session.turns": 5})
async def test_the_owner_is_told_once_at_80_and_once_at_100_percent(world: World) -> None:
    ann, bob = world.user("ann"), world.user("bob")
    owners, chat = await world.direct(ann), await world.direct(bob)
    await world.grant(ann, "owner")
    await ann.says("hello")
    await owners.expect("echo: hello")
    for text in ("a", "b", "c", "d"):
        await bob.says(text)
        await chat.expect(f"echo: {text}")
    near = await owners.expect(re.compile("80 % of a budget for today is used: 4 of 5 turns"))
    assert "of the conversation in" in near.text
    await world.restart()
    await bob.says("e")
    await chat.expect("echo: e")
    await owners.expect(re.compile("A budget for today is used up: 5 of 5 turns"))
    await world.restart()
    await owners.expect_nothing(within=3600)
    assert not any("budget" in text for text in texts(chat))


@pytest.mark.world(settings={"budgets.session.turns": 1})
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_commit_neither_loses_nor_doubles_what_is_told(
    world: World,
    when: Literal["before", "after"],
) -> None:
    commits = await _exchange(world, None)
    assert commits > 10
    for nth in range(1, commits + 1):
        network = FakeChannel(repeat="idempotent")  # an attempt in doubt is made again
        async with World(settings={"budgets.session.turns": 1}, channel=network) as other:
            await _exchange(other, (when, nth))


async def _exchange(world: World, kill: tuple[When, int] | None) -> int:
    """Kill the host at a commit while a budget is used up. Return the number of commits."""
    ann, bob = world.user("ann"), world.user("bob")
    owners, chat = await world.direct(ann), await world.direct(bob)
    await world.grant(ann, "owner")
    session = await _session(world, ann)
    await world.host.admin.budgets.set(f"session:{session}", turns="none")
    begun = kill_at(world, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bob.says, "a")
        await world.sleep(30)
        if not world.host_lives:
            await world.start()
            await world.sleep(30)
        nursery.start_soon(bob.says, "b")
        await world.sleep(30)
        if not world.host_lives:
            await world.start()
    await world.sleep(minutes=5)
    commits = world.executor.commits - begun
    told = [text for text in texts(owners) if text.startswith("A budget") and "fake:bob" in text]
    assert len(told) == 1, (kill, texts(owners))
    answered = [text for text in texts(chat) if text.startswith("echo:")]
    notices = [text for text in texts(chat) if text.startswith("My budget")]
    # A count of the last second may be lost, so that one more turn is had.
    assert answered in (["echo: a"], ["echo: a", "echo: b"]), kill
    assert len(notices) == 2 - len(answered), kill
    return commits


async def _session(world: World, user: User) -> str:
    await user.says("hello")
    await world.chat(user).expect("echo: hello")
    return (await world.host.admin.sessions.list())[0].id
