"""The tool bash: run a command in the sandbox."""

from collections.abc import Mapping

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text

DEFAULT_S = 120
LONGEST_S = 3600
SPARE_S = 30.0
"""Seconds for the lock, the start and the end of a command. The host is told of them and of the limit."""


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Run it. All processes end with the turn."""
    shell = context.turn_state.shell
    if shell is None:
        raise ToolError("commands run only in a sandbox")
    return await shell.run(str(arguments["command"]), limit_s(arguments))


def limit_s(arguments: Mapping[str, object]) -> float:
    """Return the time limit of a command, in seconds."""
    return float(str(arguments.get("timeout_s", DEFAULT_S)))


TOOL = BuiltinTool(
    ToolSpec(
        "bash",
        "Run a command with bash in your sandbox and return its output and exit code. Its working directory "
        "is that in which the last command ended; at first it is your workspace. There is no input: commands "
        "must not ask questions. A process that you start with `&` runs until your turn ends. Of long output "
        "you see the beginning and the end; the rest is in a file.",
        schema(
            {"command": text("The command, or several lines of a script.")},
            timeout_s={
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": LONGEST_S,
                "description": f"Seconds after which it is killed. Without it, {DEFAULT_S}.",
            },
        ),
    ),
    timeout=SPARE_S,
    run=run,
    waits_for=limit_s,
)
