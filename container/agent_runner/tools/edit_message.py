"""The tool edit_message: replace the text of a message."""

from collections.abc import Mapping
from typing import cast

from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, send, text
from agent_runner.tools.targets import MESSAGE_ID, find_target


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Request the edit."""
    seq = int(cast("float", arguments["message_id"]))
    target = await find_target(context, seq)
    content = {"operation": "edit", "messageId": target.id, "markdown": arguments["text"]}
    await send(context, target.address, content)
    return f"message {seq} will be edited"


TOOL = BuiltinTool(
    ToolSpec(
        "edit_message",
        "Replace the text of a message that was sent before.",
        schema({"message_id": MESSAGE_ID, "text": text("Its new text, in Markdown.")}),
    ),
    timeout=30.0,
    run=run,
)
