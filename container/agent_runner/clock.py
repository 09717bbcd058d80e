"""The clock seam, in a module of its own: providers see it too."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the date. Code that waits asks trio instead."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...
