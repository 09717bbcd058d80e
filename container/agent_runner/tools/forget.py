"""The tool forget: remove one of the agent's notes."""

from collections.abc import Mapping
from typing import cast

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Remove the note."""
    id_ = cast("int", arguments["id"])
    if not await context.session.notes.forget(id_):
        raise ToolError(f"there is no note {id_}; recall shows the numbers of notes")
    return f"note {id_} is forgotten"


TOOL = BuiltinTool(
    ToolSpec(
        "forget",
        "Remove a note that is no longer true or wanted.",
        schema(
            {
                "id": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": (1 << 63) - 1,
                    "description": "The number of the note.",
                }
            }
        ),
    ),
    timeout=30.0,
    run=run,
)
