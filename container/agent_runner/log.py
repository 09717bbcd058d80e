"""Writes one JSON line for each event to stderr, which the host reads."""

import json
import sys
from collections.abc import Callable
from typing import Literal

from attrs import frozen

Level = Literal["debug", "info", "warning", "error"]


def silent(_line: str) -> None:
    """Write nothing. For simulations."""


def to_stderr(line: str) -> None:
    """Write a line to stderr at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@frozen
class Log:
    """Formats events as lines for `write`."""

    write: Callable[[str], None] = silent

    def __call__(self, event: str, level: Level = "info", **fields: object) -> None:
        """Write one event. Values that JSON cannot carry are written as their text."""
        if self.write is silent:
            return
        self.write(json.dumps({"event": event, "level": level, **fields}, default=str))
