"""Common parts of the tools for tasks: arguments, the request, and its answer in words."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from agent_runner.errors import ToolError
from agent_runner.providers import ToolSpec
from agent_runner.records import Address
from agent_runner.times import duration, from_text, to_local, to_text, to_zone
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text
from agent_runner.tools.requests import TIMEOUT, request

TASK_ID = text("Id of the task, as schedule_task and list_tasks give it.")
PROMPT = text("What you are to do when it is time, in words to yourself.")
SCRIPT = text(
    "A shell script that runs in your workspace before you are woken, for 30 s at most. The last line of its "
    'output is JSON: {"wakeAgent": true or false, "data": …}. With false you are not woken. With true '
    "you get `data` as `scriptOutput`, beside the prompt. "
    "Scripts run only in a sandbox; elsewhere you are always woken.",
    maxLength=100_000,
)
PROCESS_AFTER = text(
    "When: ISO 8601, such as 2026-03-01T09:00; without an offset in the zone of `timezone`. "
    "Or a delay from now, such as 2m or 1h30m."
)
RECURRENCE = text(
    "When again and again: a cron expression (five fields, or six with seconds first), @daily and the like, "
    "or an interval such as 5m or @every 1h30m; read in the zone of `timezone`. "
    "With process_after, the first run is at that time, and the next ones follow the recurrence."
)
TIMEZONE = text("IANA zone, such as Europe/Berlin. Without it, the user's.")
CATCH_UP = {
    "type": "string",
    "enum": ["skip", "all", "none"],
    "description": "What to do about missed times: one late run at most (skip, the default), all, or none.",
}


NO_SCRIPT = "; its script will not run, because scripts run only in a sandbox: you will be woken each time"

KEYS: Mapping[str, str] = {
    "prompt": "prompt",
    "script": "script",
    "recurrence": "recurrence",
    "timezone": "zone",
    "catch_up": "catchUp",
}
"""Arguments that a request has unchanged, with their keys in the request."""


def details(arguments: Mapping[str, object], users_zone: str, now: datetime) -> dict[str, object]:
    """Return the part of a request that says what and when. What is absent stays so. Raises ToolError."""
    content = {key: arguments[name] for name, key in KEYS.items() if name in arguments}
    zone = _zone(str(arguments.get("timezone", users_zone)))
    if "process_after" in arguments:
        content["processAfter"] = _moment(str(arguments["process_after"]), zone, now)
    if (interval := duration(str(content.get("recurrence")).removeprefix("@every"))) is not None:
        seconds = f"{interval.total_seconds():.3f}".rstrip("0").removesuffix(".")
        content["recurrence"] = f"@every {seconds}"
    return content


def _zone(name: str) -> ZoneInfo:
    try:
        return to_zone(name)
    except ValueError as error:
        raise ToolError(f"the timezone {error}") from error


def _moment(text: str, zone: ZoneInfo, now: datetime) -> str:
    try:
        delay = duration(text)
        moment = datetime.fromisoformat(text.strip()) if delay is None else now + delay
        return to_text(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)
    except (ValueError, OverflowError) as error:
        raise ToolError(
            f"process_after {text!r} is not a time such as 2026-03-01T09:00, or a delay such as 2m"
        ) from error


async def ask(context: ToolContext, address: Address | None, outcome: str, **content: object) -> str:
    """Request a change of a task, and return its outcome in words. Raises ToolError."""
    result = await request(context, content, address)
    task_id, sandboxed = content["taskId"], context.session.config.sandboxed
    if result is None:
        return f"requested for task {task_id}; the answer will come as a message"
    zone = str(result.get("zone") or content.get("zone") or context.session.config.timezone)
    outcome += _changes(result.get("changed"))
    next_run = _next_run(result.get("nextRun"), zone, context.session.seams.clock.now())
    note = NO_SCRIPT if content.get("script") and not sandboxed else ""
    return f"task {result.get('taskId', task_id)} is {outcome}{next_run}{note}"


def _changes(keys: object) -> str:
    """Return text that names the arguments that an update has changed; empty if the host does not say."""
    if not isinstance(keys, list):
        return ""
    names = {key: name for name, key in (*KEYS.items(), ("process_after", "processAfter"))}
    return (
        f": {', '.join(names.get(str(key), str(key)) for key in keys)}"
        if keys
        else ": nothing, because it was so already"
    )


def _next_run(next_run: object, zone: str, now: datetime) -> str:
    if not next_run:
        return ""
    try:
        moment = from_text(str(next_run))
        return f"; next run {to_local(moment, zone)}" if moment > now else "; it is due now"
    except (ValueError, OverflowError):
        return f"; next run {next_run}"


def change_by_id(action: str, outcome: str, description: str) -> BuiltinTool:
    """Return a tool whose only argument is a task's id."""

    async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
        return await ask(context, context.home, outcome, action=action, taskId=arguments["task_id"])

    return BuiltinTool(ToolSpec(action, description, schema({"task_id": TASK_ID})), timeout=TIMEOUT, run=run)
