"""A runner may die anywhere. Committed results stay, and no message is answered twice."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import apsw
import pytest
import trio

from agent_runner.providers import Provider, Toolbox
from agent_runner.records import Reply, Result, Turn
from agent_runner.runner import run_runner
from tests.runner.world import Killed, Listener, Script, World

When = Literal["before", "after"]
TALK = '!send_message {"text": "aside"}'
POINTS = [(n, when) for n in range(1, 6) for when in ("before", "after")]


async def crash(
    world: World,
    commit: int,
    when: When,
    provider: Provider | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Serve until the process dies at that commit. The host acts after each earlier commit."""

    def kill(n: int, now: str) -> None:
        if (n, now) == (commit, when):
            raise Killed
        if now == "after":
            meanwhile()

    world.executor.on_commit = kill
    with pytest.raises(Killed), trio.fail_after(100):
        await run_runner(world.config, world.seams(provider or Listener()))
    world.executor.on_commit = None


@pytest.mark.parametrize(("commit", "when"), POINTS)
async def test_after_a_death_at_any_commit_each_message_is_answered_exactly_once(
    world: World, commit: int, when: When
) -> None:
    messages = [world.put(2, "one"), world.put(4, TALK), world.put(6, "three")]
    await crash(world, commit, when)
    await trio.sleep(1000)  # no task of the dead runner may write
    world.settle()
    open_ones = [id_ for id_ in messages if world.acks().get(id_) != "completed"]
    await world.serve(Listener(), *open_ones)
    answered = world.out("SELECT in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL ORDER BY 1")
    assert answered == [(id_,) for id_ in messages]


@pytest.mark.parametrize(("commit", "when"), POINTS)
async def test_the_next_turn_is_told_what_the_dead_one_had_sent(
    world: World, commit: int, when: When
) -> None:
    message = world.put(2, TALK)
    await crash(world, commit, when)
    world.settle()
    if world.acks().get(message) == "completed":
        return
    told = Listener()
    sent = world.out("SELECT seq FROM messages_out WHERE in_reply_to IS NULL")
    await world.serve(told, message)
    assert [(each.seq,) for each in told.turns[0].already_sent] == sent
    assert bool(sent) == (commit > 3 or (commit, when) == (3, "after"))


async def test_the_next_turn_is_told_of_a_request_without_a_chat(world: World) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        await tools.call("cancel_task", {"task_id": "task-1"})
        return Result()

    world.host("DELETE FROM session_routing")
    message = world.put(2, kind="task", content='{"prompt":"x"}', channel_type=None, platform_id=None)
    await crash(world, 4, "before", Script(act))
    world.settle()
    told = Listener()
    async with world.running(told):
        await world.until_acked(message, status="failed")  # the answer of echo has no address
    ((sent,),) = (turn.already_sent for turn in told.turns)
    assert (sent.kind, sent.address) == ("system", None)
    assert sent.content == {"action": "cancel_task", "taskId": "task-1"}


def answer_requests(world: World) -> None:
    """Perform each request once, as a host does."""
    for number, (id_, content) in enumerate(world.requests()):
        with suppress(apsw.ConstraintError):
            world.answer(id_, 100 + 2 * number, taskId=content["taskId"])


@pytest.mark.parametrize("commit", range(1, 7))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_after_a_death_at_any_commit_a_task_is_requested_exactly_once(
    world: World, commit: int, when: When
) -> None:
    message = world.put(2, '!schedule_task {"prompt": "tea", "recurrence": "@daily"}')
    await crash(world, commit, when, meanwhile=lambda: answer_requests(world))
    world.settle()
    answer_requests(world)
    other = world.put(200)
    world.executor.on_commit = lambda _n, _when: answer_requests(world)
    await world.serve(Listener(), other)
    assert len(world.requests()) == 1
    assert len(world.out("SELECT 1 FROM messages_out WHERE in_reply_to = ?", message)) == 1
    ((request, _),) = world.requests()
    assert world.acks() == dict.fromkeys([message, other, f"answer-{request}"], "completed")


@pytest.mark.parametrize("commit", range(1, 7))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_after_a_death_at_any_commit_a_turn_and_its_follow_ups_are_answered_once(
    world: World, commit: int, when: When
) -> None:
    async def act(turn: Turn, tools: Toolbox) -> Result:
        if not turn.messages[0].tries and not turn.already_sent:
            await tools.call("send_message", {"text": "aside"})
            rows = (*turn.messages, *await tools.follow_ups())
        else:
            rows = turn.messages
        return Result(tuple(Reply("yes", row.id) for row in rows))

    def follow() -> None:
        if world.executor.commits == 1:
            world.put(4)

    provider = Script(act)
    first, second = world.put(2), "in-4"
    await crash(world, commit, when, provider, meanwhile=follow)
    world.settle()
    follow_up_claimed = second in world.acks()
    if commit == 1:
        world.put(4)
    told = Listener()
    await world.serve(told, *(id_ for id_ in (first, second) if world.acks().get(id_) != "completed"))
    replies = world.out("SELECT in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL ORDER BY 1")
    assert replies == [(first,), (second,)]
    if follow_up_claimed:
        assert all(len(turn.already_sent) == 1 for turn in told.turns)


async def test_a_turn_interrupted_twice_is_told_all_that_was_sent(world: World) -> None:
    async def act(turn: Turn, tools: Toolbox) -> Result:
        await tools.call("send_message", {"text": f"aside {turn.messages[0].tries}"})
        return Result()

    message = world.put(2)
    for commit in (4, 6):  # the second begins by clearing the tool and the claim that the first left
        world.executor.commits = 0
        await crash(world, commit, "before", Script(act))
        world.settle()
    told = Listener()
    await world.serve(told, message)
    (turn,) = told.turns
    assert [dict(each.content) for each in turn.already_sent] == [
        {"markdown": "aside 0"},
        {"markdown": "aside 1"},
    ]
    assert turn.messages[0].tries == 2
    assert world.out("SELECT 1 FROM meta WHERE key = ?", f"continues:{turn.turn_id}") == []


async def test_an_interrupted_message_is_taken_again_though_no_try_was_counted(world: World) -> None:
    message = world.put(2, "x")
    await crash(world, 1, "after")
    assert world.acks() == {message: "processing"}
    await world.serve(Listener(), message)
    assert world.texts() == ["echo: x"]


@pytest.mark.parametrize("seconds", [0, 0.5, 3, 15])
async def test_a_cancelled_runner_writes_nothing_more_and_frees_everything(
    world: World, seconds: float
) -> None:
    async def act(turn: Turn, tools: Toolbox) -> Result:
        for _ in range(4):
            await tools.call("send_message", {"text": "still here"})
            await trio.sleep(5)
        return Result((Reply("done", turn.messages[0].id),))

    message = world.put(2)
    with trio.move_on_after(seconds):
        await run_runner(world.config, world.seams(Script(act)))
    before = contents(world.root)
    await trio.sleep(1000)
    assert contents(world.root) == before
    await world.serve(Listener(), message)


def contents(root: Path) -> dict[str, tuple[int, int]]:
    stats = {str(path): path.stat() for path in root.rglob("*")}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in stats.items()}


async def test_a_database_that_fails_under_a_tool_is_not_taken_for_a_failure_of_the_provider(
    world: World,
) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        with suppress(OSError):
            await tools.call("send_message", {"text": "x"})
        raise ValueError("the provider's own word for it")

    def fail(n: int, when: str) -> None:
        if (n, when) == (2, "before"):
            raise OSError("disk full")

    world.executor.on_commit = fail
    message = world.put(2)
    with pytest.raises(ValueError, match="own word"):
        await run_runner(world.config, world.seams(Script(act)))
    assert world.acks() == {message: "processing"}
