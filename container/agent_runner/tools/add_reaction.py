"""add_reaction: put an emoji on a message."""

from collections.abc import Mapping
from typing import cast

from agent_runner.providers import ToolSpec
from agent_runner.tools.base import Bench, Tool, schema, send
from agent_runner.tools.targets import MESSAGE_ID, find_target


async def run(bench: Bench, arguments: Mapping[str, object]) -> str:
    """Ask for the reaction."""
    seq = cast("int", arguments["message_id"])
    target = await find_target(bench, seq)
    content = {"operation": "reaction", "messageId": target.id, "emoji": arguments["emoji"]}
    await send(bench, target.address, content)
    return f"message {seq} will get {arguments['emoji']}"


TOOL = Tool(
    ToolSpec(
        "add_reaction",
        "Put an emoji on a message, of a user or your own.",
        schema({"message_id": MESSAGE_ID, "emoji": {"type": "string", "description": "One emoji."}}),
    ),
    timeout=30.0,
    run=run,
)
