"""The tool pause_task: stop a task until it is resumed."""

from agent_runner.tools.tasks import change_by_id

TOOL = change_by_id("pause_task", "paused", "Pause a task: it does not run until it is resumed.")
