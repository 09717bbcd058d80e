"""list_tasks: what is scheduled."""

from collections.abc import Mapping

from agent_runner.open_tasks import OpenTask, open_tasks
from agent_runner.providers import ToolSpec
from agent_runner.times import to_local
from agent_runner.tools.base import Bench, Tool, schema

LONGEST_PROMPT = 500


async def run(bench: Bench, arguments: Mapping[str, object]) -> str:
    """Read the open tasks."""
    del arguments
    now = bench.session.seams.clock.now()
    tasks = await bench.session.host.read(lambda connection: open_tasks(connection, now))
    lines = [_line(task, task.zone or bench.session.config.timezone) for task in tasks]
    return "\n".join(lines) or "there are no tasks"


def _line(task: OpenTask, zone: str) -> str:
    state = "paused, next run" if task.paused else "next run"
    again = f", recurrence {task.recurrence}" if task.recurrence else ""
    return f"{task.id}: {state} {to_local(task.next_run, zone)}{again}: {_short(task.prompt)}"


def _short(prompt: str) -> str:
    words = " ".join(prompt.split())
    return words if len(words) <= LONGEST_PROMPT else f"{words[:LONGEST_PROMPT]} …"


TOOL = Tool(
    ToolSpec(
        "list_tasks",
        "List the scheduled tasks: id, next run, recurrence, and the beginning of the prompt.",
        schema({}),
    ),
    timeout=30.0,
    run=run,
)
