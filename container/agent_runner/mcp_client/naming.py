"""The tools of MCP servers as tools of the session: names, descriptions and schemas that models accept."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256

from agent_runner.errors import ToolRegistrationError
from agent_runner.providers import Tool, ToolSpec

LONGEST_NAME = 64
LONGEST_DESCRIPTION = 4_000
"""Characters. The rest is cut off."""
LARGEST_SCHEMA = 64 * 1024
"""Characters of JSON."""
_BAD = re.compile(r"[^A-Za-z0-9_-]")


def tool_name(server: str, tool: str) -> str:
    """Return the name of a tool for models. One that is too long ends with a hash of the whole."""
    name = f"mcp__{_BAD.sub('_', server)}__{_BAD.sub('_', tool)}"
    if len(name) <= LONGEST_NAME:
        return name
    mark = sha256(f"{server}\0{tool}".encode("utf-8", "replace")).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}_{mark}"


def as_tool(
    name: str,
    description: str,
    schema: Mapping[str, object],
    run: Callable[[Mapping[str, object]], Awaitable[str]],
    timeout_s: float,
) -> Tool:
    """Return a tool of the session. Raises ToolRegistrationError."""
    size = len(json.dumps(schema, default=str))
    if size > LARGEST_SCHEMA:
        raise ToolRegistrationError(
            f"tool {name!r}: its schema has {size:,} characters; the most is {LARGEST_SCHEMA:,}"
        )
    words = description.strip()[:LONGEST_DESCRIPTION] or f"The tool {name}."
    return Tool(ToolSpec(name, words, schema), run, timeout_s)
