"""The timeline of a simulation, as text: two runs of one seed give the same bytes."""

from collections.abc import Callable

import trio
from attrs import Factory, define, field

Step = Callable[[str, tuple[object, ...]], None]
"""Called at once with each event and its details. Its error reaches the caller first, then ends the world."""


@define(eq=False)
class Timeline:
    """Lines of virtual time and event. `steps` get each event, so that they can check invariants."""

    lines: list[str] = Factory(list)
    steps: list[Step] = Factory(list)
    began: float = 0.0
    """The moment on trio's clock that counts as time 0."""
    home: str = ""
    """The world's folder. Its name is unique to a world, so the lines omit it."""
    broken: BaseException | None = field(default=None, init=False)
    """The first error that a step or a commit hook raised."""
    when_broken: Callable[[], None] | None = field(default=None, init=False)
    """Called when a step raises: the code around the step could swallow its error."""

    def add(self, event: str, *details: object) -> None:
        """Add an event at the current time."""
        now = trio.current_time() - self.began
        line = in_one_line("  ".join([f"{now:14.6f}", event, *map(str, details)]))
        self.lines.append(line.replace(self.home, "<home>") if self.home else line)
        try:
            for step in self.steps:
                step(event, details)
        except BaseException as error:
            self.broke(error)
            raise

    def broke(self, error: BaseException) -> None:
        """Keep an error that must end the world even if code swallows it."""
        if self.broken is None:
            self.broken = error
            if self.when_broken is not None:
                self.when_broken()

    def check(self) -> None:
        """Raise the first error of a step or a hook, if there was one."""
        if self.broken is not None:
            raise self.broken

    def events(self) -> list[str]:
        """Return the lines without the commits."""
        return [line for line in self.lines if line.split(maxsplit=2)[1] != "commit"]

    def text(self) -> str:
        """Return all lines."""
        return "\n".join(self.lines) + "\n"


def in_one_line(text: str) -> str:
    """Return a text with line breaks, escape sequences and the like escaped as Python does."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
