"""The tool remember: keep a note for all conversations of the agent."""

from collections.abc import Mapping, Sequence
from typing import cast

from agent_runner.errors import ToolError
from agent_runner.knowledge.notes import LONGEST_NOTE, MOST_NOTES
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text

MOST_TAGS, LONGEST_TAG = 10, 50


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Write the note."""
    tags = cast("Sequence[str]", arguments.get("tags", ()))
    kept = await context.session.notes.remember(str(arguments["text"]), tags)
    if kept is None:
        raise ToolError(f"there are {MOST_NOTES:,} notes already; forget some first")
    return f"kept as note {kept.id}" if kept.is_new else f"known already: it is note {kept.id}"


TOOL = BuiltinTool(
    ToolSpec(
        "remember",
        "Keep a note that you will have in all later conversations: a fact, a wish, a decision. Write it so "
        "that it can be understood alone. Returns its number.",
        schema(
            {"text": text("The note.", maxLength=LONGEST_NOTE)},
            tags={
                "type": "array",
                "items": text("A word.", maxLength=LONGEST_TAG),
                "maxItems": MOST_TAGS,
                "description": "Words to find it by that are not in it.",
            },
        ),
    ),
    timeout=30.0,
    run=run,
)
