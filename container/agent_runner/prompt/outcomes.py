"""The outcomes of what an agent asked people for, in words (contract 5). Nothing in a row is relied on."""

import json
from collections.abc import Callable, Mapping

Result = Mapping[str, object]


def words(content: Mapping[str, object]) -> str:
    """Return what became of a request, in sentences for the agent."""
    found = content.get("result")
    result: Result = found if isinstance(found, Mapping) else {}
    note = content.get("note")
    said = f' The person who decided adds: "{note}"' if note else ""
    match content.get("decision"):
        case "rejected":
            return f"It was rejected. Do not ask for it again, unless a user tells you to.{said}"
        case "expired":
            return "Nobody decided in time, so it is not done. Ask again only if it still matters."
        case "withdrawn":
            return "It was withdrawn before anybody decided, so it is not done. Do not ask again unprompted."
        case _ if "error" in result:
            return f"It was approved, but it failed: {result['error']}{said}"
        case _:
            return f"It was approved, and it is done. {_done(content.get('action'), result)}{said}".rstrip()


def _done(action: object, result: Result) -> str:
    known = _DONE.get(action) if isinstance(action, str) else None
    if known is not None:
        return known(result)
    return json.dumps(dict(result), ensure_ascii=False) if result else ""


def _packages(result: Result) -> str:
    packages = result.get("packages")
    listed = packages.items() if isinstance(packages, Mapping) else ()
    names = "; ".join(f"{each}: {', '.join(map(str, of))}" for each, of in listed if isinstance(of, list))
    return f"Your sandbox has it now: {names}."


def _server(result: Result) -> str:
    name = result.get("name")
    return f"The MCP server {name} is started with your sandbox; its tools are named mcp__{name}__…"


def _mount(result: Result) -> str:
    may = "read it" if result.get("readOnly") else "read and write there"
    return f"It is at {result.get('path')}, and you may {may}."


def _agent(result: Result) -> str:
    return (
        f'The agent "{result.get("name")}" exists. To write to it, use send_message with the destination '
        f'"{result.get("destination")}".'
    )


def _budget(result: Result) -> str:
    return f"Your daily limit of {result.get('measure')} is {result.get('amount')} now."


def _rebuild(_result: Result) -> str:
    return "Your sandbox is a new one."


_DONE: Mapping[str, Callable[[Result], str]] = {
    "install_packages": _packages,
    "add_mcp_server": _server,
    "request_mount": _mount,
    "create_agent": _agent,
    "request_budget": _budget,
    "request_rebuild": _rebuild,
}
