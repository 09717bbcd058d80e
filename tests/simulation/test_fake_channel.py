"""The network of simulations when the host refuses the messages it offers."""

from itertools import pairwise

import pytest
import trio

from nanoclaw.records import Event, NotAccepted, Routed
from nanoclaw.testing import FakeChannel, World


class Refusing:
    """An intake that accepts nothing for a while."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.offered: list[tuple[float, str]] = []
        self.accepted: list[str] = []

    async def offer(self, event: Event) -> Routed:
        now = trio.current_time() - self.began
        self.offered.append((now, event.event_id))
        await trio.lowlevel.checkpoint()
        if now < self.until:
            raise NotAccepted("the disk is full")
        self.accepted.append(event.event_id)
        return Routed()

    async def receive(self, channel: FakeChannel) -> None:
        self.began = trio.current_time()
        await channel.receive(self)


async def test_a_refused_message_is_offered_again_with_back_off(world: World) -> None:
    del world
    intake, channel = Refusing(until=86_400.0), FakeChannel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intake.receive, channel)
        await channel.say("hello", event_id="e")
        nursery.cancel_scope.cancel()
    moments = [at for at, _ in intake.offered]
    assert [round(b - a, 6) for a, b in pairwise(moments)][:9] == [
        *(0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
        *(5.0, 5.0),
    ]
    assert len(moments) < 20_000


@pytest.mark.parametrize("until", [0.0, 0.01, 3.0, 40.0])
async def test_refusals_do_not_reorder_one_user_s_messages_in_one_chat(world: World, until: float) -> None:
    del world
    intake, channel = Refusing(until), FakeChannel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intake.receive, channel)
        async with trio.open_nursery() as speakers:
            for n in range(60):
                for user in ("ann", "bob"):
                    await trio.sleep(0.35)
                    speakers.start_soon(say, channel, user, n)
        await channel.say("later", user="ann", event_id="ann 60")
        nursery.cancel_scope.cancel()
    for user in ("ann", "bob"):
        numbers = [int(id_.split()[1]) for id_ in intake.accepted if id_.startswith(user)]
        assert numbers == sorted(numbers)
    assert len(intake.accepted) == 121


async def say(channel: FakeChannel, user: str, n: int) -> None:
    await channel.say("hello", user=user, event_id=f"{user} {n}")
