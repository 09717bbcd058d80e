"""Questions of agents, from the card to the answer."""

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
