"""The tool list_files: list a folder, or find files by their names."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.sandbox.listing import find_files, list_folder
from agent_runner.sandbox.roots import roots_of
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text

FOLDER = text("Path of a folder, relative to your workspace. Without it, the workspace.")


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """List it."""
    roots, path = roots_of(context.session.config), str(arguments.get("path", "."))
    pattern = arguments.get("pattern")

    def look() -> str:
        return list_folder(roots, path) if pattern is None else find_files(roots, path, str(pattern))

    return await context.session.seams.executor.run(look)


TOOL = BuiltinTool(
    ToolSpec(
        "list_files",
        "List a folder. With a pattern, list all files below it whose paths fit.",
        schema(
            {},
            path=FOLDER,
            pattern=text(
                "Such as `*.py` in all folders, `src/*.py` in one, or `src/**/test_*.py` in all below one."
            ),
        ),
    ),
    timeout=60.0,
    run=run,
)
