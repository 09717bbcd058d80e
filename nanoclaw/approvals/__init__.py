"""Questions of agents, from the card to the answer."""

from nanoclaw.approvals.questions import QuestionRefused, chosen, named, record, withdraw

__all__ = ["QuestionRefused", "chosen", "named", "record", "withdraw"]
