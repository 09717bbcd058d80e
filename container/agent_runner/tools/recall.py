"""The tool recall: search the agent's notes."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.records import Note
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Search the notes."""
    found = await context.session.notes.recall(str(arguments["query"]))
    return "\n\n".join(map(_written, found)) or "no note fits; try other words"


def _written(note: Note) -> str:
    tags = f", tags: {note.tags}" if note.tags else ""
    return f"note {note.id} ({note.written_at[:10]}{tags}):\n{note.text}"


TOOL = BuiltinTool(
    ToolSpec(
        "recall",
        "Search your notes. Returns those that fit best, with their numbers.",
        schema({"query": text("Words that may be in the note or its tags.", maxLength=1000)}),
    ),
    timeout=30.0,
    run=run,
)
