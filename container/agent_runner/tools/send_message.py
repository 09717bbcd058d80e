"""The tool send_message: send a text at once, before the turn's final answer, or to another chat."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.tools.base import TO, BuiltinTool, ToolContext, find_address, schema, send, text


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Send the text."""
    address = await find_address(context, arguments.get("to"))
    return f"sent as message {await send(context, address, {'markdown': arguments['text']})}"


TOOL = BuiltinTool(
    ToolSpec(
        "send_message",
        "Send a message at once: to the chat that is being answered, or to a named destination. "
        "Returns the number of the message, for edit_message and add_reaction.",
        schema({"text": text("What to say, in Markdown.")}, to=TO),
    ),
    timeout=30.0,
    run=run,
)
