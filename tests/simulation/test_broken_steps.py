"""An error of a timeline step or of a commit hook always ends the world."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
import trio

from nanoclaw.testing import World, simulate
from nanoclaw.testing.world.executor import When

EVENTS = ("host ready", "said", "commit", "runner started", "delivered", "runner ended")


class Wrong(Exception):
    pass


async def one_answer(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")
    await world.sleep(minutes=5)


def raises_at(wanted: str, error: Callable[[], BaseException]) -> Callable[[str, tuple[object, ...]], None]:
    def step(event: str, details: tuple[object, ...]) -> None:
        del details
        if event == wanted:
            raise error()

    return step


@pytest.mark.parametrize("outliving", [False, True])
@pytest.mark.parametrize("event", EVENTS)
def test_an_error_in_a_timeline_step_ends_the_world_at_any_event(event: str, *, outliving: bool) -> None:
    async def scenario(world: World) -> None:
        world.timeline.steps.append(raises_at(event, Wrong))
        await one_answer(world)
        await trio.sleep_forever()

    with pytest.raises(Wrong):
        simulate(scenario, seed=1, outliving=outliving, settings={"runtime.idle_s": 30})


def test_another_error_in_the_scenario_gets_a_note_about_the_step_error() -> None:
    async def scenario(world: World) -> None:
        world.timeline.steps.append(raises_at("delivered", Wrong))
        try:
            await one_answer(world)
        finally:
            raise KeyError

    with pytest.raises(KeyError) as caught:
        simulate(scenario, seed=1)
    [note] = caught.value.__notes__
    assert "a hook at a commit raised Wrong (test_broken_steps.py:" in note


@pytest.mark.parametrize("file", ["v2.db", "inbound.db", "outbound.db"])
def test_an_error_in_a_commit_hook_ends_the_world(file: str) -> None:
    def hook(path: Path, when: When, n: int) -> None:
        del when, n
        if path.name == file:
            raise Wrong

    async def scenario(world: World) -> None:
        await world.start()
        world.commit_hooks.append(hook)
        await one_answer(world)
        await trio.sleep_forever()

    with pytest.raises(Wrong):
        simulate(scenario, seed=1)


def test_a_disk_error_in_a_commit_hook_does_not_end_the_world() -> None:
    left = 3

    def hook(path: Path, when: When, n: int) -> None:
        nonlocal left
        del path, when, n
        if left:
            left -= 1
            raise apsw.FullError("FullError: database or disk is full")

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann)
        world.commit_hooks.append(hook)
        await ann.says("hello")
        await chat.expect("echo: hello")

    simulate(scenario, seed=1)
    assert left == 0
