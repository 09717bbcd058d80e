"""The tool add_reaction: put an emoji on a message."""

from collections.abc import Mapping
from typing import cast

from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, send, text
from agent_runner.tools.targets import MESSAGE_ID, find_target


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Request the reaction."""
    seq = int(cast("float", arguments["message_id"]))
    target = await find_target(context, seq)
    content = {"operation": "reaction", "messageId": target.id, "emoji": arguments["emoji"]}
    await send(context, target.address, content)
    return f"message {seq} will get {arguments['emoji']}"


TOOL = BuiltinTool(
    ToolSpec(
        "add_reaction",
        "Put an emoji on a message, of a user or your own.",
        schema({"message_id": MESSAGE_ID, "emoji": text("One emoji.")}),
    ),
    timeout=30.0,
    run=run,
)
