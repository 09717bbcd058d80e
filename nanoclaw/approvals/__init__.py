"""Questions of agents, from the card to the answer, and approvals, from the request to the outcome.

This package exports the functions of questions. Approvals are in its modules: see docs/architecture.md.
"""

from nanoclaw.approvals.questions import (
    Given,
    QuestionRefused,
    close,
    closing_of,
    given_by_text,
    given_by_value,
    named,
    options_of,
    record,
    withdraw,
)

__all__ = [
    "Given",
    "QuestionRefused",
    "close",
    "closing_of",
    "given_by_text",
    "given_by_value",
    "named",
    "options_of",
    "record",
    "withdraw",
]
