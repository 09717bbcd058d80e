"""What happened in a simulation, in order, as text: two runs of one seed give the same bytes."""

import trio
from attrs import Factory, define


@define(eq=False)
class Timeline:
    """Lines of virtual time and event."""

    lines: list[str] = Factory(list)

    def add(self, event: str, *details: object) -> None:
        """Note an event, now."""
        self.lines.append("  ".join([f"{trio.current_time():14.6f}", event, *map(str, details)]))

    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"
