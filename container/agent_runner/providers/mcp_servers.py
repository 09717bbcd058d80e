"""The MCP servers of an agent, as a provider and the runner know them."""

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class McpServer:
    """A server of the Model Context Protocol: a program that the runner starts, or an address."""

    command: str = ""
    """The program, which speaks on stdin and stdout. Empty if there is a `url`."""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict)
    url: str = ""
    """The address of a server that speaks HTTP. Empty if there is a `command`."""
    headers: Mapping[str, str] = field(factory=dict)
