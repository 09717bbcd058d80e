"""Questions of agents, from the card to the answer."""

from nanoclaw.approvals.questions import QuestionRefused, chosen, record, withdraw

__all__ = ["QuestionRefused", "chosen", "record", "withdraw"]
