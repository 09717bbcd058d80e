"""The tool request_budget: ask for a higher limit of what may be used a day."""

from agent_runner.tools.approvals import asking

TOOL = asking(
    "request_budget",
    "Ask for a higher daily limit of what you may use.",
    {
        "measure": {
            "type": "string",
            "enum": ["turns", "tool_calls", "messages", "tokens", "money"],
            "description": "What is limited; money is in US dollars.",
        },
        "amount": {"type": "number", "minimum": 0, "description": "The new limit a day."},
    },
    scope={
        "type": "string",
        "enum": ["agent", "session"],
        "description": "The limit of all your conversations (agent, the default), or that of this one.",
    },
)
