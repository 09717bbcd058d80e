"""A channel that asks for a pause gets it before the next attempt."""

import trio

from nanoclaw.simulation.network import FaultyNetwork
from nanoclaw.testing import World, simulate

PAUSE_S = 137.0


def test_a_refused_message_is_sent_again_after_the_pause_requested_by_the_channel() -> None:
    network = FaultyNetwork()

    async def scenario(world: World) -> float:
        ann = world.user("ann")
        chat = await world.direct(ann)
        network.retry_after.append(PAUSE_S)
        await ann.says("hello")
        said = trio.current_time()
        await chat.expect("echo: hello", within=PAUSE_S + 10)
        return trio.current_time() - said

    waited, _ = simulate(scenario, seed=1, channel=network)
    assert PAUSE_S <= waited < PAUSE_S + 2
    assert len(network.attempts) == 2
