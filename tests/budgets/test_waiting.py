"""Sessions wait when a budget is used up, say so once, and go on by themselves."""

import re

import pytest

from nanoclaw.testing import World

USED_UP = re.compile(r"My budget of today is used up \(3 of 3 turns of this conversation\)")


pytestmark = pytest.mark.world(settings={"budgets.session.turns": 3})


async def test_a_session_waits_until_midnight_and_then_goes_on_by_itself(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    for text in ("a", "b", "c"):
        await ann.says(text)
        await chat.expect(f"echo: {text}")
    await ann.says("d")
    notice = await chat.expect(USED_UP)
    assert "Your messages are kept. I will answer at " in notice.text
    await ann.says("e")
    await chat.expect_nothing(within=3600)
    status = await world.host.status()
    [session] = status.living_sessions
    assert session.details is not None
    assert session.details.budget is not None
    assert "3 of 3 turns" in session.details.budget
    assert session.details.runner.state == "absent"
    await chat.expect(re.compile("echo: "), within=86400)
