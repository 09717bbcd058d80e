"""The tool send_file: send a file of the agent's workspace."""

from collections.abc import Mapping
from pathlib import Path

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import TO, BuiltinTool, ToolContext, find_address, schema, send, text


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Copy the file to the outbox, then commit its message."""
    address = await find_address(context, arguments.get("to"))
    source = _within(context.session.config.workspace, str(arguments["path"]))
    id_ = context.session.seams.new_id("out")
    name = await context.session.outbox.put(id_, source)
    content = {"markdown": arguments.get("text", ""), "files": [name]}
    return f"sent as message {await send(context, address, content, id_)}"


def _within(workspace: Path, path: str) -> Path:
    try:
        source = (workspace / path).resolve(strict=True)
    except (OSError, ValueError) as error:
        raise ToolError(f"there is no file {path!r} in the workspace") from error
    if not source.is_relative_to(workspace.resolve()):
        raise ToolError(f"{path!r} is outside the workspace")
    if not source.is_file():
        raise ToolError(f"{path!r} is not a regular file")
    return source


TOOL = BuiltinTool(
    ToolSpec(
        "send_file",
        "Send a file of the workspace, with a few words if you like. Returns the number of the message.",
        schema(
            {"path": text("Path of the file, relative to the workspace.")},
            text=text("Words that go with the file."),
            to=TO,
        ),
    ),
    timeout=120.0,
    run=run,
)
