"""The tool update_task: change what a task does, or when it runs."""

from collections.abc import Mapping

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema
from agent_runner.tools.requests import TIMEOUT
from agent_runner.tools.tasks import (
    CATCH_UP,
    PROCESS_AFTER,
    PROMPT,
    RECURRENCE,
    SCRIPT,
    TASK_ID,
    TIMEZONE,
    ask,
    details,
)

RECURRENCE_OR_ONCE = {
    "type": ["string", "null"],
    "description": f"{RECURRENCE['description']} Null: once only from now on, at its next run.",
}
SCRIPT_OR_NONE = {
    "type": ["string", "null"],
    "description": f"{SCRIPT['description']} Null: no script from now on.",
    "maxLength": SCRIPT["maxLength"],
}


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Request the change. Arguments that are absent change nothing."""
    session = context.session
    content = details(arguments, session.config.timezone, session.seams.clock.now())
    if not content:
        raise ToolError("say what to change: prompt, script, process_after, recurrence, timezone or catch_up")
    return await ask(
        context, context.home, "changed", action="update_task", taskId=arguments["task_id"], **content
    )


TOOL = BuiltinTool(
    ToolSpec(
        "update_task",
        "Change a task: its prompt, script, time, recurrence or zone. What you do not name stays.",
        schema(
            {"task_id": TASK_ID},
            prompt=PROMPT,
            script=SCRIPT_OR_NONE,
            process_after=PROCESS_AFTER,
            recurrence=RECURRENCE_OR_ONCE,
            timezone=TIMEZONE,
            catch_up=CATCH_UP,
        ),
    ),
    timeout=TIMEOUT,
    run=run,
)
