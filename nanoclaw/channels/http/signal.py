"""A condition that tasks wait for without missing a change."""

import trio
from attrs import Factory, define


@define(eq=False)
class Signal:
    """Wakes all tasks that wait for a change. Take `event` before looking at what may change."""

    event: trio.Event = Factory(trio.Event)
    """The event that the next change sets."""

    def tell(self) -> None:
        """Wake those who wait."""
        self.event.set()
        self.event = trio.Event()
