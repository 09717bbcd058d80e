"""The tool add_mcp_server: ask for a server of the Model Context Protocol."""

from agent_runner.tools.approvals import asking, pairs, strings
from agent_runner.tools.base import text

TOOL = asking(
    "add_mcp_server",
    "Ask for an MCP server, whose tools you then have. Give either a command, which runs in your sandbox, or "
    "a url. Values of env and headers are shown to the people who decide, and stored: ask the user before "
    "you put a password there.",
    {"name": text("A short name: letters, digits, - and _.", maxLength=32)},
    command=text("The program.", maxLength=1000),
    args=strings("Its arguments."),
    env=pairs("Its environment variables."),
    url=text("The address of a server that speaks HTTP.", maxLength=1000),
    headers=pairs("Headers of requests to that address."),
)
