"""The report at the end of a chat about unanswered messages."""

from collections.abc import Mapping, Sequence

from nanoclaw.channels.terminal.desk import Line
from nanoclaw.cli.output import tell

UNANSWERED = 1
"""Exit code."""
SHOWN = 60
"""Characters of an unanswered message that are shown."""
LISTED = 20
"""Maximum number of unanswered messages that are shown."""


def verdict(refused: Mapping[int, str], unanswered: Sequence[Line], otherwise: str) -> int:
    """Report on stderr the lines that were not sent or answered, and why; return the exit code.

    `refused` maps line numbers to what became of them. `otherwise` is the reason for unanswered lines
    without their own.
    """
    problems = [f"line {number} {reason}" for number, reason in refused.items()]
    problems += [f"unanswered: {line.text[:SHOWN]} ({line.failed or otherwise})" for line in unanswered]
    if len(problems) > LISTED:
        problems[LISTED:] = [f"and {len(problems) - LISTED} more"]
    for problem in problems:
        tell(f"nanoclaw: {problem}")
    return UNANSWERED if problems else 0
