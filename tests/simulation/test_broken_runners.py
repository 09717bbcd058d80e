"""A bug in a runner ends only that runner and costs its messages a try."""

import re
from collections.abc import Sequence

import pytest

from agent_runner.providers import Provider
from agent_runner.turns import turn
from nanoclaw.testing import World, simulate


async def one_message(world: World) -> Sequence[str]:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect(re.compile("I could not answer .* after 5 tries"), within=600)
    return world.timeline.lines


def breaks(*_: object) -> Provider:
    raise KeyError("no")


@pytest.mark.parametrize("outliving", [False, True])
def test_a_runner_that_breaks_in_a_turn_costs_the_message_a_try(
    monkeypatch: pytest.MonkeyPatch, *, outliving: bool
) -> None:
    monkeypatch.setattr(turn, "_ask", breaks)
    lines, _ = simulate(one_message, seed=1, outliving=outliving)
    assert [line for line in lines if "host failed" in line or "host killed" in line] == []
    assert any("runner broke: KeyError: 'no'" in line for line in lines)


def test_a_provider_that_cannot_be_created_ends_its_runner_but_not_the_host() -> None:
    async def told(world: World) -> None:
        ann = world.user("ann")
        await world.direct(ann)
        await ann.says("hello")
        await world.sleep(hours=1)

    _, timeline = simulate(told, seed=1, providers={"echo": breaks})
    broke = [line for line in timeline.lines if "runner broke: KeyError: 'no'" in line]
    assert 1 < len(broke) < 100
