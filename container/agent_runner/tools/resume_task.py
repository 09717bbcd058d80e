"""The tool resume_task: let a paused task go on."""

from agent_runner.tools.tasks import change_by_id

TOOL = change_by_id("resume_task", "resumed", "Resume a paused task.")
