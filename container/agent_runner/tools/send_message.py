"""send_message: say something now, before the turn's final answer, or somewhere else."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.tools.base import TO, Bench, Tool, find_address, schema, send


async def run(bench: Bench, arguments: Mapping[str, object]) -> str:
    """Send the text."""
    address = await find_address(bench, arguments.get("to"))
    return f"sent as message {await send(bench, address, {'text': arguments['text']})}"


TOOL = Tool(
    ToolSpec(
        "send_message",
        "Send a message at once: to the chat that is being answered, or to a named destination. "
        "Returns the number of the message, for edit_message and add_reaction.",
        schema({"text": {"type": "string", "description": "What to say."}}, to=TO),
    ),
    timeout=30.0,
    run=run,
)
