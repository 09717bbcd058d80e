"""The error of an MCP server."""


class ToolServerError(Exception):
    """An MCP server cannot be used. The text is for its owner and for the agent."""
