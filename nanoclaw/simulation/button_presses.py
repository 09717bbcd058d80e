"""Clicks of a workload's users: none, one or two, in time or late, sometimes of an unregistered user."""

from collections.abc import Mapping, Sequence
from random import Random

import trio
from attrs import frozen

from nanoclaw.records import Clicked, Outgoing, QuestionContent
from nanoclaw.simulation.network import FaultyNetwork
from nanoclaw.simulation.people import is_approval
from nanoclaw.testing.world.timeline import Timeline

PRESSES = (0, 1, 1, 1, 2, 2)
MORE_PRESSES = (0, 2, 3, 4, 5, 6)
"""The same where several options may be chosen: the last press is seldom the button "Done"."""
BY_A_STRANGER = 0.2
PRESSED_AFTER_S = 30.0
"""Average seconds until a click."""


@frozen
class ButtonPresses:
    """The clicks on the cards of one network. `users` has the user ids by chat."""

    seed: int
    network: FaultyNetwork
    users: Mapping[str, Sequence[str]]
    strangers: Sequence[str]
    timeline: Timeline

    async def press(self) -> None:
        """Click on cards until cancelled."""
        seen = 0
        async with trio.open_nursery() as nursery:
            while True:
                sent = await self.network.wait_for(seen + 1)
                for outgoing in sent[seen:]:
                    nursery.start_soon(self._look_at, outgoing)
                seen = len(sent)

    async def _look_at(self, outgoing: Outgoing) -> None:
        content, address = outgoing.content, outgoing.address
        users = self.users.get(address.platform_id, ())
        if not isinstance(content, QuestionContent) or not users or is_approval(content):
            return
        random = Random(f"clicks {self.seed} {content.text}")  # noqa: S311 -- a simulation has no secrets
        presses = MORE_PRESSES if content.multiple else PRESSES
        for n in range(random.choice(presses)):
            await trio.sleep(random.expovariate(1 / PRESSED_AFTER_S))
            value = random.choice(content.options).value
            user = random.choice(self.strangers if random.random() < BY_A_STRANGER else users)
            event_id = f"click-{outgoing.message_out_id}-{n}"
            self.timeline.add("clicked", address.platform_id, user, event_id, repr(value))
            click = Clicked(address, event_id, content.question_id, value, user)
            routed = await self.network.offer(click)
            if routed.dropped is not None:
                self.timeline.add("click dropped", address.platform_id, event_id, routed.dropped)
