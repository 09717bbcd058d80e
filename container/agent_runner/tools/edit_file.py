"""The tool edit_file: replace a part of a text file."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.sandbox.editing import edit
from agent_runner.sandbox.reading import read_text
from agent_runner.sandbox.roots import roots_of
from agent_runner.sandbox.writing import replace
from agent_runner.text import clean
from agent_runner.tools.base import BuiltinTool, ToolContext, schema
from agent_runner.tools.write_file import PATH


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Edit it, whole or not at all."""
    roots, seams = roots_of(context.session.config), context.session.seams
    path, old, new = str(arguments["path"]), str(arguments["old"]), clean(str(arguments["new"]))
    mark, all_ = seams.new_id("file"), bool(arguments.get("all"))

    def change() -> str:
        with roots.find(path, to_write=True) as found:
            edited = edit(read_text(roots, found), old, new, all_=all_)
            replace(roots, found, edited.text.encode(), mark)
        return f"replaced {len(edited.lines)} in {path}, from line {edited.lines[0]} on"

    return await seams.executor.run(change)


TOOL = BuiltinTool(
    ToolSpec(
        "edit_file",
        "Replace a text in a file by another. `old` must be in the file exactly once, with its spaces and "
        "line ends, and without the line numbers of read_file.",
        schema(
            {
                "path": PATH,
                "old": {"type": "string", "minLength": 1, "description": "The text to replace."},
                "new": {"type": "string", "description": "The text that takes its place."},
            },
            all={"type": "boolean", "description": "Replace all occurrences, however many there are."},
        ),
    ),
    timeout=60.0,
    run=run,
)
