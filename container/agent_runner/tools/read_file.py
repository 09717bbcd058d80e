"""The tool read_file: read a text file of the sandbox."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.sandbox.reading import find_picture, read_page
from agent_runner.sandbox.roots import roots_of
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text

LINES = 2_000
LARGEST = 1_000_000_000
PATH = text("Path, relative to your workspace; or an absolute one below a folder that you may use.")


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Read it."""
    roots = roots_of(context.session.config)
    path, offset, limit = str(arguments["path"]), arguments.get("offset", 1), arguments.get("limit", LINES)
    execute = context.session.seams.executor.run
    picture = await execute(lambda: find_picture(roots, path))
    if picture is not None:
        context.turn_state.shown.append(picture)
        return f"{path} is {picture.media_type}; it is shown to you"
    return await execute(lambda: read_page(roots, path, int(str(offset)), int(str(limit))))


TOOL = BuiltinTool(
    ToolSpec(
        "read_file",
        "Read a text file, or look at a picture or PDF. Each line of text comes after its number and a tab, "
        f"which are not part of the file. At most {LINES:,} lines are shown; `offset` continues.",
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
