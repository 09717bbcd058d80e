"""The tools that only an agent in a sandbox has. Only a sandboxed runner imports this module."""

from collections.abc import Mapping

from agent_runner.tools import (
    TOOLS,
    add_mcp_server,
    bash,
    edit_file,
    install_packages,
    list_files,
    read_file,
    request_mount,
    request_rebuild,
    search_files,
    web_fetch,
    write_file,
)
from agent_runner.tools.base import BuiltinTool

ALL_TOOLS: Mapping[str, BuiltinTool] = {
    **TOOLS,
    **{
        module.TOOL.spec.name: module.TOOL
        for module in (
            bash,
            read_file,
            write_file,
            edit_file,
            list_files,
            search_files,
            web_fetch,
            install_packages,
            add_mcp_server,
            request_rebuild,
            request_mount,
        )
    },
}
"""All built-in tools.

`agent_runner.providers.toolbox.SANDBOX_TOOLS` names those that other programs, such as Claude Code, have of
their own. All programs get the tools that ask for packages, servers and folders.
"""
