"""What happened in a simulation, in order, as text: two runs of one seed give the same bytes."""

from collections.abc import Callable

import trio
from attrs import Factory, define

Step = Callable[[str, tuple[object, ...]], None]
"""Told of each event with its details, at once; what it raises, its causer gets."""


@define(eq=False)
class Timeline:
    """Lines of virtual time and event. `steps` are told of each event: that is where invariants look."""

    lines: list[str] = Factory(list)
    steps: list[Step] = Factory(list)
    began: float = 0.0
    """The moment, on trio's clock, from which its times count."""

    def add(self, event: str, *details: object) -> None:
        """Note an event, now."""
        now = trio.current_time() - self.began
        self.lines.append("  ".join([f"{now:14.6f}", event, *map(str, details)]))
        for step in self.steps:
            step(event, details)

    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"
