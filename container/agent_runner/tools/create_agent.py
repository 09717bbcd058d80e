"""The tool create_agent: ask for another agent."""

from agent_runner.tools.approvals import asking
from agent_runner.tools.base import text

TOOL = asking(
    "create_agent",
    "Ask for a new agent, with a memory and a workspace of its own. Once it exists, you send it messages "
    "like to any destination, and it may write to you. It has no chat with people.",
    {"name": text("Its name, which no other agent has.", maxLength=200)},
    instructions=text("What it is for and how it is to work. It reads this first.", maxLength=3000),
)
