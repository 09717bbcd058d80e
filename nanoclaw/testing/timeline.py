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
    home: str = ""
    """The world's folder: its name, which no two worlds share, is left out of the lines."""

    def add(self, event: str, *details: object) -> None:
        """Note an event, now."""
        now = trio.current_time() - self.began
        line = "  ".join([f"{now:14.6f}", event, *map(str, details)])
        self.lines.append(line.replace(self.home, "<home>") if self.home else line)
        for step in self.steps:
            step(event, details)

    def events(self) -> list[str]:
        """Its lines without the commits: what people, agents, runners, the host and faults did."""
        return [line for line in self.lines if line.split(maxsplit=2)[1] != "commit"]

    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"
