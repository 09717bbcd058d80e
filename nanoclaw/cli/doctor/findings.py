"""The findings of the doctor: each is one line, with what to do."""

from collections.abc import Iterable, Mapping
from typing import Literal

from attrs import frozen

from nanoclaw.config.kinds import printable

Level = Literal["ok", "warning", "problem"]


@frozen
class Finding:
    """What the doctor found."""

    area: str
    """What was looked at, such as `model`."""
    level: Level
    text: str
    advice: str = ""
    """What to do; empty if nothing has to be done."""

    @property
    def line(self) -> str:
        """The finding as one line."""
        words = f"{self.text}; {self.advice}" if self.advice else self.text
        return printable(f"{self.level:<8} {self.area:<16} {words}")

    def as_json(self) -> Mapping[str, str]:
        """Return the finding for programs."""
        return {"area": self.area, "level": self.level, "text": self.text, "advice": self.advice}


def has_problem(findings: Iterable[Finding]) -> bool:
    """Return True if something keeps the host from its work."""
    return any(finding.level == "problem" for finding in findings)
