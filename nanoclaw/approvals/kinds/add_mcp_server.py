"""The kind `add_mcp_server`: an agent asks for a server of the Model Context Protocol.

Values of variables and headers are shown on the card and stored: whoever decides sees exactly what is run.
The agent, which can read its configuration, has them anyway.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from nanoclaw.agents import Change, McpServer
from nanoclaw.approvals.fields import Fields, agent_of
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import Asked, Effects, Wanted
from nanoclaw.approvals.visible import command, exact
from nanoclaw.config.kinds import Unfit
from nanoclaw.config.structure import Misfit, structure
from nanoclaw.records import PendingApproval
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection

LONGEST, MOST = 1_000, 50
"""Limits of one text in characters, and of the words of a command, or of variables or headers."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


@frozen
class AddMcpServer:
    """Adds a server to the agent's `container.json`."""

    installation: Installation
    action: str = "add_mcp_server"
    for_agents: bool = True

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Check the server, and that its name is free."""
        agent = agent_of(connection, asked)
        fields = Fields.of(asked, "name", "command", "args", "env", "url", "headers")
        name = fields.needed("name", LONGEST)
        if not _NAME.fullmatch(name):
            raise ActionRefused("name must be 1 to 32 letters, digits, - and _, with neither in front")
        if name in self.installation.container(agent.folder).mcp_servers:
            raise ActionRefused(f"this agent has a server {name} already; only its owner can change that one")
        server = _server(fields)
        self.installation.checked(agent.folder, _adding(name, server))
        shown = "\n".join(_lines(server))
        return Wanted(
            payload={"name": name, "server": server},
            same=repr((name, sorted(server.items(), key=lambda each: each[0]))),
            title=f"{agent.folder} asks to add the MCP server {name}",
            text=f"The agent {agent.folder} would get the tools of the MCP server {name}.\n{shown}"
            f"{fields.reason}",
        )

    def apply(self, _connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        """Return the name of the server."""
        return {"name": approval.payload.get("name")}

    async def finish(self, approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Write the server, and start the agent's runners with it."""
        agent, server = approval.agent_group_id or "", approval.payload.get("server")
        name = str(approval.payload.get("name"))
        await effects.change_container_json(
            agent, _adding(name, server if isinstance(server, Mapping) else {})
        )
        await effects.restart_agent(agent)
        return None


def _server(fields: Fields) -> Mapping[str, object]:
    """Return the server as `container.json` has it. Raises ActionRefused."""
    args, env, headers = fields.texts("args"), fields.mapping("env"), fields.mapping("headers")
    given = {
        "command": fields.text("command", LONGEST),
        "args": list(args),
        "env": dict(env),
        "url": fields.text("url", LONGEST),
        "headers": dict(headers),
    }
    server = {key: value for key, value in given.items() if value}
    try:
        found = structure(server, McpServer, base=Path())
    except Misfit as misfit:
        raise ActionRefused(
            "; ".join(f"{each.path[0]} {each.text}" for each in misfit.problems[:5])
        ) from None
    except Unfit as error:
        raise ActionRefused(str(error)) from None
    if (problem := found.problem()) is not None:
        raise ActionRefused(f"the server {problem}")
    _bound(args, env, headers)
    if found.url is not None and "@" in urlsplit(found.url).netloc:
        raise ActionRefused("url must have no user and no password; use a header")
    return server


def _bound(args: Sequence[str], env: Mapping[str, str], headers: Mapping[str, str]) -> None:
    given = {"args": args, "env": [*env.values()], "headers": [*headers.values()]}
    for what, texts in given.items():
        if len(texts) > MOST or any(len(each) > LONGEST or "\0" in each for each in texts):
            raise ActionRefused(
                f"{what} may have {MOST} texts of {LONGEST:,} characters, none of them with NUL"
            )
    for what, form, names in (("env", _VARIABLE, env), ("headers", _HEADER, headers)):
        for name in names:
            if not form.fullmatch(name):
                raise ActionRefused(f"{what}: {exact(name)[:60]!r} is no valid name")


def _lines(server: Mapping[str, object]) -> Iterator[str]:
    """Yield the lines of a card about a server."""
    match server:
        case {"url": str(url)}:
            yield f"Its address: {exact(url)}"
            yield "The agent must be allowed to reach that site, too."
            yield from _pairs("Its headers", server.get("headers"), ": ")
        case _:
            args = server.get("args")
            words = [str(server.get("command")), *(args if isinstance(args, list) else ())]
            yield f"In its sandbox this is run: {command(words)}"
            yield from _pairs("Its variables", server.get("env"), "=")


def _pairs(heading: str, values: object, between: str) -> Iterator[str]:
    if isinstance(values, Mapping) and values:
        yield f"{heading} (the values are stored, and the agent can read them):"
        yield from (f"  {exact(str(name))}{between}{exact(str(value))}" for name, value in values.items())


def _adding(name: str, server: Mapping[str, object]) -> Change:
    def change(values: dict[str, object]) -> None:
        there = values.get("mcpServers")
        servers = dict(there) if isinstance(there, Mapping) else {}
        if servers.setdefault(name, dict(server)) != server:
            raise ActionRefused(f"this agent has another server {name} now; ask again with another name")
        values["mcpServers"] = servers

    return change


KIND = AddMcpServer
