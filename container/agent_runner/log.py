"""One JSON line an event, on stderr; whoever started the container reads it."""

import json
import sys
from collections.abc import Callable
from typing import Literal

from attrs import frozen

Level = Literal["debug", "info", "warning", "error"]


def silent(_line: str) -> None:
    """Write nothing: for simulations."""


def to_stderr(line: str) -> None:
    """Write a line to stderr at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@frozen
class Log:
    """Tells events to `write`, a line each."""

    write: Callable[[str], None] = silent

    def __call__(self, event: str, level: Level = "info", **fields: object) -> None:
        """Tell one event; what JSON cannot carry is told as its text."""
        if self.write is silent:
            return
        self.write(json.dumps({"event": event, "level": level, **fields}, default=str))
