"""Questions of agents, from the card to the answer."""

from nanoclaw.approvals.questions import QuestionRefused, option_by_text, option_by_value, record, withdraw

__all__ = ["QuestionRefused", "option_by_text", "option_by_value", "record", "withdraw"]
