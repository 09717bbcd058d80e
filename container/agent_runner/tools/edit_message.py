"""edit_message: give a message another text."""

from collections.abc import Mapping
from typing import cast

from agent_runner.providers import ToolSpec
from agent_runner.tools.base import Bench, Tool, schema, send
from agent_runner.tools.targets import MESSAGE_ID, find_target


async def run(bench: Bench, arguments: Mapping[str, object]) -> str:
    """Ask for the edit."""
    seq = cast("int", arguments["message_id"])
    target = await find_target(bench, seq)
    content = {"operation": "edit", "messageId": target.id, "text": arguments["text"]}
    await send(bench, target.address, content)
    return f"message {seq} will be edited"


TOOL = Tool(
    ToolSpec(
        "edit_message",
        "Replace the text of a message that was sent before.",
        schema({"message_id": MESSAGE_ID, "text": {"type": "string", "description": "Its new text."}}),
    ),
    timeout=30.0,
    run=run,
)
