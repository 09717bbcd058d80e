"""The tool resume_task: resume a paused task."""

from agent_runner.tools.tasks import change_by_id

TOOL = change_by_id("resume_task", "resumed", "Resume a paused task.")
