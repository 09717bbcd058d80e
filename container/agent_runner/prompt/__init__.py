"""What a model is given and what it answers: messages as XML, the system prompt, parts of an answer."""

from agent_runner.prompt.attachments import Attachment, attachments
from agent_runner.prompt.messages import render_follow_ups, render_turn
from agent_runner.prompt.output import Output, read_output, visible_draft
from agent_runner.prompt.system import system_prompt

__all__ = [
    "Attachment",
    "Output",
    "attachments",
    "read_output",
    "render_follow_ups",
    "render_turn",
    "system_prompt",
    "visible_draft",
]
