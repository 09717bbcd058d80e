"""The tool write_file: write a file of the workspace."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.sandbox.roots import roots_of
from agent_runner.sandbox.writing import replace
from agent_runner.text import clean
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text

PATH = text("Path, relative to your workspace.")


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Write it, whole or not at all."""
    roots, seams = roots_of(context.session.config), context.session.seams
    path, data, mark = str(arguments["path"]), clean(str(arguments["content"])).encode(), seams.new_id("file")

    def write() -> bool:
        with roots.find(path, to_write=True, make_folders=True) as found:
            return replace(roots, found, data, mark)

    is_new = await seams.executor.run(write)
    return f"{'created' if is_new else 'replaced'} {path} ({len(data):,} bytes)"


TOOL = BuiltinTool(
    ToolSpec(
        "write_file",
        "Write a text file. It replaces a file that is there, and makes missing folders.",
        schema({"path": PATH, "content": {"type": "string", "description": "The whole content."}}),
    ),
    timeout=60.0,
    run=run,
)
