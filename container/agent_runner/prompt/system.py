"""The system prompt: who the agent is, where it may write, what it knows."""

from agent_runner.providers import ProviderContext
from agent_runner.records import Turn


async def system_prompt(context: ProviderContext, turn: Turn) -> str:
    """Return the system prompt. What changes least comes first, so that the model's server can cache it."""
    del context
    return f"You are {turn.assistant_name or 'a personal assistant'}."
