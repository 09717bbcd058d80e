"""The tool request_rebuild: ask for a new start of the sandbox."""

from agent_runner.tools.approvals import asking

TOOL = asking(
    "request_rebuild",
    "Ask for a new sandbox: packages that could not be installed are tried again, and all programs in it "
    "end. You do not need it after install_packages, add_mcp_server or request_mount.",
    {},
)
