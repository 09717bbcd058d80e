"""The tool read_file: read a text file of the sandbox."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.sandbox.places import places_of
from agent_runner.sandbox.reading import read_page
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text

LINES = 2_000
LARGEST = 1_000_000_000
PATH = text("Path, relative to your workspace; or an absolute one below a folder that you may use.")


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Read it."""
    places = places_of(context.session.config)
    path, offset, limit = str(arguments["path"]), arguments.get("offset", 1), arguments.get("limit", LINES)
    return await context.session.seams.executor.run(
        lambda: read_page(places, path, int(str(offset)), int(str(limit)))
    )


TOOL = BuiltinTool(
    ToolSpec(
        "read_file",
        "Read a text file. Each line comes after its number and a tab, which are not part of the file. At "
        f"most {LINES:,} lines are shown; `offset` continues.",
        schema(
            {"path": PATH},
            offset={
                "type": "integer",
                "minimum": 1,
                "maximum": LARGEST,
                "description": "The first line to show. Without it, 1.",
            },
            limit={
                "type": "integer",
                "minimum": 1,
                "maximum": LINES,
                "description": f"The most lines to show. Without it, {LINES:,}.",
            },
        ),
    ),
    timeout=60.0,
    run=run,
)
