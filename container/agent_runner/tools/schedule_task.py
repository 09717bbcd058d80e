"""schedule_task: be told something at a time, once or again and again."""

from collections.abc import Mapping

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import TO, Bench, Tool, find_address, schema
from agent_runner.tools.requests import TIMEOUT
from agent_runner.tools.tasks import CATCH_UP, PROCESS_AFTER, PROMPT, RECURRENCE, TIMEZONE, ask, details


async def run(bench: Bench, arguments: Mapping[str, object]) -> str:
    """Ask for the task; the expression is the host's to check."""
    if not {"process_after", "recurrence"} & set(arguments):
        raise ToolError("say when: process_after, recurrence, or both")
    address = await find_address(bench, arguments["to"]) if "to" in arguments else bench.home
    zone = bench.session.config.timezone
    content = {"zone": zone, **details(arguments, zone)}
    task_id = bench.session.seams.new_id("task")
    return await ask(bench, address, "scheduled", action="schedule_task", taskId=task_id, **content)


TOOL = Tool(
    ToolSpec(
        "schedule_task",
        "Schedule a task: at its time you get its prompt as a message, and your answer goes to the chat. "
        "Say when by process_after (once), recurrence (again and again), or both (from when on). "
        "Returns the task's id.",
        schema(
            {"prompt": PROMPT},
            process_after=PROCESS_AFTER,
            recurrence=RECURRENCE,
            timezone=TIMEZONE,
            catch_up=CATCH_UP,
            to=TO,
        ),
    ),
    timeout=TIMEOUT,
    run=run,
)
