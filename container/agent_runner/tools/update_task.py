"""update_task: change what a task says, or when it runs."""

from collections.abc import Mapping

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import Bench, Tool, schema
from agent_runner.tools.requests import TIMEOUT
from agent_runner.tools.tasks import (
    CATCH_UP,
    PROCESS_AFTER,
    PROMPT,
    RECURRENCE,
    TASK_ID,
    TIMEZONE,
    ask,
    details,
)

OR_ONCE = {
    **RECURRENCE,
    "minLength": 0,
    "description": f"{RECURRENCE['description']} Empty: from now on once only.",
}


async def run(bench: Bench, arguments: Mapping[str, object]) -> str:
    """Ask for the change; what is not named stays."""
    content = details(arguments, bench.session.config.timezone)
    if not content:
        raise ToolError("say what to change: prompt, process_after, recurrence, timezone or catch_up")
    return await ask(
        bench, bench.home, "changed", action="update_task", taskId=arguments["task_id"], **content
    )


TOOL = Tool(
    ToolSpec(
        "update_task",
        "Change a task: its prompt, its time, its recurrence, its zone. What you do not name stays.",
        schema(
            {"task_id": TASK_ID},
            prompt=PROMPT,
            process_after=PROCESS_AFTER,
            recurrence=OR_ONCE,
            timezone=TIMEZONE,
            catch_up=CATCH_UP,
        ),
    ),
    timeout=TIMEOUT,
    run=run,
)
