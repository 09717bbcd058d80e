"""The words at the end of a chat about messages that stayed unanswered."""

import sys
from collections.abc import Mapping, Sequence

from nanoclaw.channels.terminal.desk import Line

UNANSWERED = 1
"""Exit code."""
SHOWN = 60
"""Characters of an unanswered message that are shown."""
LISTED = 20
"""Unanswered messages that are shown."""


def verdict(refused: Mapping[int, str], unanswered: Sequence[Line], otherwise: str) -> int:
    """Name on stderr the lines that were not sent or answered, and why; returns the exit code.

    `refused` has reasons by line number; `otherwise` is why a line without a reason has no answer.
    """
    problems = [f"line {number} was not sent: {reason}" for number, reason in refused.items()]
    problems += [f"unanswered: {line.text[:SHOWN]} ({line.failed or otherwise})" for line in unanswered]
    if len(problems) > LISTED:
        problems[LISTED:] = [f"and {len(problems) - LISTED} more"]
    for problem in problems:
        print(f"nanoclaw: {problem}", file=sys.stderr)
    return UNANSWERED if problems else 0
