"""The tool request_mount: ask for a folder of the user's machine."""

from agent_runner.tools.approvals import asking
from agent_runner.tools.base import text

TOOL = asking(
    "request_mount",
    "Ask for a folder or file of the machine that you run on. The owner decides beforehand which folders "
    "may be asked for. It appears below /mnt.",
    {"path": text("Its absolute path on that machine, or one that begins with ~.", maxLength=1000)},
    name=text("Its name below /mnt. Without it, the last part of the path.", maxLength=64),
    write={"type": "boolean", "description": "True if you need to write there, too."},
)
