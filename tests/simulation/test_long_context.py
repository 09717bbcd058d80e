"""A turn may have more context messages than the host reads at once."""

import pytest

from agent_runner.turns import selection
from nanoclaw.session import messages
from nanoclaw.testing import World, says, script, thinks
from nanoclaw.testing.invariants import rows

BATCH, LOOKED_AT, CONTEXT = 4, 10, 35


async def test_a_long_turn_with_many_context_messages_is_not_stopped_and_completes_them_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "LARGEST_BATCH", BATCH)
    monkeypatch.setattr(messages, "MAX_ACKS_PER_LOOK", LOOKED_AT)
    ann = world.user("ann")
    club = world.group("club", [ann])
    agent = world.agent(brain=script([*[thinks(20)] * 10, says("done")]))
    await world.wire(club, agent, trigger_rules={"mentionOnly": True, "ignored": "accumulate"})
    for n in range(CONTEXT):
        await ann.says(f"context {n}", in_=club)
    await ann.says("hey", in_=club, mention=True)
    await club.expect("done")
    await world.sleep(5)
    [inbound] = (world.home / "data").glob("sessions/*/*/inbound/inbound.db")
    assert rows(inbound, "SELECT status, count(*), sum(tries) FROM messages_in GROUP BY 1") == [
        ("completed", CONTEXT + 1, 0)
    ]
    assert len([line for line in world.timeline.events() if "runner started" in line]) == 1
