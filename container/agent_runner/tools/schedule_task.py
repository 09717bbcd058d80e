"""The tool schedule_task: get a prompt at a time, once or again and again."""

from collections.abc import Mapping

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import TO, BuiltinTool, ToolContext, find_address, schema
from agent_runner.tools.requests import TIMEOUT
from agent_runner.tools.tasks import (
    CATCH_UP,
    PROCESS_AFTER,
    PROMPT,
    RECURRENCE,
    SCRIPT,
    TIMEZONE,
    ask,
    details,
)


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Request the task. The host checks the recurrence."""
    if not {"process_after", "recurrence"} & set(arguments):
        raise ToolError("say when: process_after, recurrence, or both")
    address = await find_address(context, arguments["to"]) if "to" in arguments else context.home
    zone = context.session.config.timezone
    content = {"zone": zone, **details(arguments, zone, context.session.seams.clock.now())}
    task_id = context.session.seams.new_id("task")
    return await ask(context, address, "scheduled", action="schedule_task", taskId=task_id, **content)


TOOL = BuiltinTool(
    ToolSpec(
        "schedule_task",
        "Schedule a task: at its time you get its prompt as a message, and your answer goes to the chat. "
        "Say when by process_after (once), recurrence (again and again), or both (from when on). "
        "Returns the task's id.",
        schema(
            {"prompt": PROMPT},
            script=SCRIPT,
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
