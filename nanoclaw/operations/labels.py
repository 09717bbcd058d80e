"""Results for people and programs outside: values as JSON, with the names that people use beside the ids.

A question and an approval get `id`. An object with `agent_group_id` gets `agent`, one with
`messaging_group_id` or an address `chat`, one with a session gets that session's `agent`, a destination its
`target`, a wiring the `problem` with its rules.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from attrs import fields, has

from nanoclaw.operations.references import address_of
from nanoclaw.registry.trigger_rules import problem
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, messaging_groups, sessions


def labelled(connection: Connection, result: object) -> object:
    """Return a result as JSON has it, labelled."""
    return _labelled(plain(result), _Names(connection))


def plain(value: object) -> Any:
    """Return a value of frozen classes as objects, lists and texts."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")  # already in its stored form
    if has(type(value)):
        cls: Any = type(value)
        return {each.name: plain(getattr(value, each.name)) for each in fields(cls)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


class _Names:
    """Names by id; each table is read once, and only when a label needs it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def agents(self) -> Mapping[str, str]:
        return {group.id: group.folder for group in agent_groups.every(self._connection)}

    @cached_property
    def chats(self) -> Mapping[str, str]:
        return {chat.id: address_of(chat) for chat in messaging_groups.every(self._connection)}

    @cached_property
    def agents_of_sessions(self) -> Mapping[str, str]:
        return {
            each.id: self.agents.get(each.agent_group_id, each.agent_group_id)
            for each in sessions.every(self._connection)
        }


def _labelled(value: Any, names: _Names) -> Any:
    if isinstance(value, list):
        return [_labelled(each, names) for each in value]
    return {**_labels(value, names), **value} if isinstance(value, dict) else value


def _labels(row: Mapping[str, Any], names: _Names) -> Mapping[str, object]:
    labels = dict[str, object]()
    for name in ("question_id", "approval_id"):
        if name in row:
            labels["id"] = row[name]
    if row.get("agent_group_id"):
        labels["agent"] = names.agents.get(row["agent_group_id"])
    elif row.get("session_id"):
        labels["agent"] = names.agents_of_sessions.get(row["session_id"])
    if row.get("channel_type") and row.get("platform_id"):
        labels["chat"] = f"{row['channel_type']}:{row['platform_id']}"
    elif row.get("messaging_group_id"):
        labels["chat"] = names.chats.get(row["messaging_group_id"])
    if "trigger_rules" in row:
        labels["problem"] = problem(row["trigger_rules"])
    if "target_type" in row:
        known = names.chats if row["target_type"] == "channel" else names.agents
        labels["target"] = known.get(row["target_id"])
    return labels
