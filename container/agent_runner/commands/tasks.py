"""The command /tasks: list the scheduled tasks."""

from agent_runner.commands.base import Answered, CommandContext, SlashCommand, for_everybody
from agent_runner.open_tasks import OpenTask, open_tasks
from agent_runner.text import shorten
from agent_runner.times import to_local

LONGEST_PROMPT = 100
MOST = 30
"""Tasks that are shown."""


async def run(context: CommandContext) -> Answered:
    """Read the open tasks."""
    session = context.session
    now = session.seams.clock.now()
    tasks = await session.inbound.read(lambda connection: open_tasks(connection, now))
    lines = [_line(task, session.config.timezone) for task in tasks[:MOST]]
    more = [f"… and {len(tasks) - MOST} more"] if len(tasks) > MOST else []
    return Answered("\n".join([*lines, *more]) or "There are no tasks.")


def _line(task: OpenTask, zone: str) -> str:
    when = f"paused, next {to_local(task.next_run, zone)}" if task.paused else to_local(task.next_run, zone)
    again = f", again {task.recurrence}" if task.recurrence else ""
    return f"{when}{again}: {shorten(task.prompt, LONGEST_PROMPT)} [{task.id}]"


COMMAND = SlashCommand("tasks", "/tasks", "list the scheduled tasks", run, for_everybody)
