"""Finds the tool calls that an interrupted turn made, so a provider without memory does not repeat them."""

from collections.abc import Mapping

from attrs import define

from agent_runner.records import Sent

COPIED: Mapping[str, str] = {
    "text": "text",
    "emoji": "emoji",
    "prompt": "prompt",
    "script": "script",
    "recurrence": "recurrence",
    "catch_up": "catchUp",
    "timezone": "zone",
    "task_id": "taskId",
    "title": "title",
    "lines": "lines",
    "fields": "fields",
    "url": "url",
}
"""Arguments that a row has unchanged, with their keys in the row."""
UNCHANGED = frozenset(
    {
        *("install_packages", "add_mcp_server", "request_rebuild", "request_mount", "request_budget"),
        "create_agent",
    }
)
"""Tools whose row has all arguments unchanged."""


@define(eq=False)
class Repeats:
    """The rows that no call has matched yet. Each row matches one call, by its content."""

    _left: list[Sent]

    def find(self, tool: str, arguments: Mapping[str, object]) -> Sent | None:
        """Take and return the row that this call would write again; None if there is none."""
        for sent in self._left:
            if _tool(sent.content) == tool and _fits(sent.content, arguments):
                self._left.remove(sent)
                return sent
        return None


def _tool(content: Mapping[str, object]) -> str:
    match content:
        case {"action": str(action)}:
            return action
        case {"operation": "edit"}:
            return "edit_message"
        case {"operation": "reaction"}:
            return "add_reaction"
        case {"type": shown}:  # the tool of questions recognizes its own, and continues to wait
            return "send_card" if shown == "card" else ""
        case {"files": _}:
            return "send_file"
        case _:
            return "send_message"


def _fits(content: Mapping[str, object], arguments: Mapping[str, object]) -> bool:
    if content.get("action") in UNCHANGED:
        return {**arguments, "action": content["action"]} == content
    card = content.get("card")
    content = card if isinstance(card, Mapping) else content
    if "markdown" in content:  # the row of a text
        content = {"text": content["markdown"], **content}
    copied = ((COPIED[name], value) for name, value in arguments.items() if name in COPIED)
    return all(content.get(key) == value for key, value in copied)
