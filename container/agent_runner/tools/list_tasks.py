"""The tool list_tasks: list what is scheduled."""

from collections.abc import Mapping

from agent_runner.open_tasks import OpenTask, open_tasks
from agent_runner.providers import ToolSpec
from agent_runner.text import shorten
from agent_runner.times import to_local
from agent_runner.tools.base import BuiltinTool, ToolContext, schema

LONGEST_PROMPT = 500
LONGEST_SCRIPT = 200
"""Characters that are shown."""


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Read the open tasks."""
    del arguments
    now = context.session.seams.clock.now()
    tasks = await context.session.inbound.read(lambda connection: open_tasks(connection, now))
    lines = [_line(task, task.zone or context.session.config.timezone) for task in tasks]
    return "\n".join(lines) or "there are no tasks"


def _line(task: OpenTask, zone: str) -> str:
    state = "paused, next run" if task.paused else "next run"
    again = f", recurrence {task.recurrence}" if task.recurrence else ""
    script = f"; script: {shorten(task.script, LONGEST_SCRIPT)}" if task.script else ""
    prompt = shorten(task.prompt, LONGEST_PROMPT)
    return f"{task.id}: {state} {to_local(task.next_run, zone)}{again}: {prompt}{script}"


TOOL = BuiltinTool(
    ToolSpec(
        "list_tasks",
        "List the scheduled tasks: id, next run, recurrence, and the beginning of prompt and script.",
        schema({}),
    ),
    timeout=30.0,
    run=run,
)
