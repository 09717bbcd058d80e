"""Scripts of tasks in virtual time: who is woken, and with what."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from attrs import define, evolve, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.providers import Provider
from agent_runner.runner import run_runner
from agent_runner.scripts.protocol import Ended, read_verdict
from tests.runner.world import Killed, Listener, World

WAKES = '{"wakeAgent": true, "data": {"mails": 3}}'
SLEEPS = '{"wakeAgent": false}'


@define(eq=False)
class Ready:
    """Ends each script at once, or after a while, with the same outcome."""

    ended: Ended
    seconds: float = 0.0
    ran: list[str] = field(factory=list)

    async def run(self, script: str, workspace: Path, /) -> Ended:
        assert workspace.name == "agent"
        self.ran.append(script)
        await trio.sleep(self.seconds)
        return self.ended


@frozen
class Scripted:
    """A sandboxed runner whose scripts end as `ready` says."""

    world: World
    ready: Ready

    async def serve(self, provider: Provider, *ids: str) -> None:
        seams = evolve(self.world.seams(provider), scripts=self.ready)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_runner, evolve(self.world.config, sandboxed=True), seams)
            with trio.fail_after(1000):
                await self.world.until_acked(*ids)
            nursery.cancel_scope.cancel()


def task(world: World, seq: int = 2, script: str = "check mail") -> str:
    return world.put(seq, kind="task", content=json.dumps({"prompt": "mail", "script": script}))


async def outcome(world: World, ended: Ended) -> list[object]:
    """Return the `scriptOutput` of each turn."""
    heard = Listener()
    await Scripted(world, Ready(ended)).serve(heard, task(world))
    return [turn.messages[0].content["scriptOutput"] for turn in heard.turns]


async def test_a_script_can_leave_the_agent_asleep(world: World) -> None:
    assert await outcome(world, Ended(f"one line\n{SLEEPS}\n")) == []
    assert world.texts() == []
    events = world.out("SELECT data FROM events WHERE kind = 'tool ended'")
    assert [json.loads(str(data))["outcome"] for (data,) in events] == ["the agent is not woken"]


async def test_a_script_that_wakes_the_agent_gives_it_data(world: World) -> None:
    assert await outcome(world, Ended(f"looking\n{WAKES}")) == [{"mails": 3}]
    assert world.texts() == ["echo: mail"]


@pytest.mark.parametrize(
    ("ended", "output"),
    [
        (Ended("", problem="it was late"), {"error": "it was late"}),
        (Ended(SLEEPS, "oh", "exit code 1"), {"error": "exit code 1", "stdout": SLEEPS, "stderr": "oh"}),
    ],
)
async def test_a_script_that_fails_wakes_the_agent_with_the_reason(
    world: World, ended: Ended, output: object
) -> None:
    assert await outcome(world, ended) == [output]


@pytest.mark.parametrize(
    "stdout", ["", "done", "[]", "null", '{"wakeAgent": 1}', '{"data": 1}', f"{SLEEPS}\nmore", "[" * 100_000]
)
def test_an_output_without_a_verdict_wakes_the_agent(stdout: str) -> None:
    verdict = read_verdict(Ended(stdout))
    assert verdict.wakes
    assert "the last line of the output must be JSON" in str(verdict.output)


@given(st.text())
def test_any_output_has_a_verdict(stdout: str) -> None:
    json.dumps(read_verdict(Ended(stdout)).output)


async def test_without_a_sandbox_no_script_runs_and_the_agent_is_told(world: World) -> None:
    heard = Listener()
    await world.serve(heard, task(world))
    assert [turn.messages[0].content["scriptOutput"] for turn in heard.turns] == [
        {"error": "scripts run only in a sandbox"}
    ]


async def test_a_task_with_a_script_delays_no_message_before_it(world: World) -> None:
    ids = [world.put(2, "hi"), task(world, 4), world.put(6, "ho")]
    heard, ready = Listener(), Ready(Ended(WAKES), seconds=20)
    await Scripted(world, ready).serve(heard, *ids)
    assert heard.heard == [["in-2"], ["in-4"], ["in-6"]]
    assert ready.ran == ["check mail"]


async def test_while_a_script_runs_the_host_sees_a_tool(world: World) -> None:
    shown = set[object]()
    world.executor.on_commit = lambda _n, _when: shown.update(
        world.out("SELECT current_tool, tool_declared_timeout_ms FROM container_state")
    )
    await outcome(world, Ended(WAKES))
    assert shown == {("task_script", 40_000)}


@pytest.mark.parametrize("ends", [WAKES, SLEEPS])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("commit", range(1, 5))
async def test_after_a_death_at_any_commit_a_task_ends_once(
    world: World, commit: int, when: str, ends: str
) -> None:
    id_, ready = task(world), Ready(Ended(ends))

    def kill(n: int, now: str) -> None:
        if (n, now) == (commit, when):
            raise Killed

    world.executor.on_commit = kill
    with suppress(BaseExceptionGroup):
        await Scripted(world, ready).serve(Listener(), id_)
    world.executor.on_commit = None
    world.settle()
    if world.acks().get(id_) != "completed":
        await Scripted(world, ready).serve(Listener(), id_)
    assert world.texts() == (["echo: mail"] if ends == WAKES else [])
