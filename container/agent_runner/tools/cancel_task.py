"""The tool cancel_task: stop a task for good."""

from agent_runner.tools.tasks import change_by_id

TOOL = change_by_id("cancel_task", "cancelled", "Cancel a task: it does not run again.")
