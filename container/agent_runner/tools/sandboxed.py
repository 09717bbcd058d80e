"""The tools that only an agent in a sandbox has. Only a sandboxed runner imports this module."""

from collections.abc import Mapping

from agent_runner.tools import (
    TOOLS,
    bash,
    edit_file,
    list_files,
    read_file,
    search_files,
    web_fetch,
    write_file,
)
from agent_runner.tools.base import BuiltinTool

ALL_TOOLS: Mapping[str, BuiltinTool] = {
    **TOOLS,
    **{
        module.TOOL.spec.name: module.TOOL
        for module in (bash, read_file, write_file, edit_file, list_files, search_files, web_fetch)
    },
}
"""All built-in tools. `agent_runner.providers.toolbox.SANDBOX_TOOLS` names those of the sandbox."""
