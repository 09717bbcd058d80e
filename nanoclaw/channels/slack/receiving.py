"""Reads what Slack sends: payloads of the Events API and of interactions, as values. Pure functions.

A payload that does not have the documented shape is None here: the caller logs it and goes on.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

Payload = Mapping[str, Any]
_PLAIN_SUBTYPES = {"", "file_share", "thread_broadcast", "me_message", "bot_message"}
LONGEST_VALUE = 2_000
"""Slack's limit of the value of a button, in characters."""


@frozen
class SlackFile:
    """A file of a message."""

    id: str
    name: str
    mimetype: str
    url: str
    """The address to fetch it from, with the bot's token; empty if it cannot be fetched."""
    size: int


@frozen
class Said:
    """A message, or an edit of one. `ts` is its id in its channel."""

    channel: str
    ts: str
    user: str
    """The id of its author, a user or a bot."""
    text: str
    thread: str | None = None
    files: Sequence[SlackFile] = ()
    version: str = ""
    """Empty for a new message."""
    direct: bool = False
    """True if the channel is a direct chat."""


@frozen
class Removed:
    """A message was deleted."""

    channel: str
    ts: str
    thread: str | None


@frozen
class Reaction:
    """A user reacted to a message."""

    channel: str
    target: str
    author: str
    """The author of the message; empty if Slack does not say."""
    user: str
    name: str
    event_ts: str
    removed: bool


@frozen
class Pressed:
    """A user pressed a button of a card."""

    channel: str
    thread: str | None
    user: str
    question_id: str
    value: str
    event_ts: str


@frozen
class Renamed:
    """A channel has a new name."""

    channel: str
    name: str
    event_ts: str


@frozen
class MemberChanged:
    """A user joined or left a channel."""

    channel: str
    user: str
    event_ts: str
    how: Literal["joined", "left"]


Seen = Said | Removed | Reaction | Pressed | Renamed | MemberChanged


def seen_in(kind: str, payload: object) -> Seen | None:
    """Return what an envelope of socket mode tells, or None: nothing, or nothing that can be read."""
    if not isinstance(payload, Mapping):
        return None
    if kind == "interactive":
        return _pressed(payload)
    event = payload.get("event")
    if kind != "events_api" or not isinstance(event, Mapping):
        return None
    return event_of(event)


def event_of(event: Payload) -> Seen | None:
    """Return what an event tells, or None."""
    match event.get("type"):
        case "message" | "app_mention":
            return _message(event)
        case "reaction_added" | "reaction_removed":
            return _reaction(event)
        case "channel_rename" | "group_rename":
            return _renamed(event)
        case "member_joined_channel":
            return _member_changed(event, "joined")
        case "member_left_channel":
            return _member_changed(event, "left")
        case _:
            return None


def said_in(message: Payload, channel: str, *, direct: bool, version: str = "") -> Said | None:
    """Return a message as the history of a channel has it, too."""
    ts, user = _word(message, "ts"), _word(message, "user") or _word(message, "bot_id")
    if not (channel and ts and user) or message.get("subtype", "") not in _PLAIN_SUBTYPES:
        return None
    return Said(
        channel,
        ts,
        user,
        _str(message, "text"),
        _thread(message, ts),
        tuple(_files(message)),
        version,
        direct,
    )


def _message(event: Payload) -> Said | Removed | None:
    channel = _word(event, "channel")
    direct = event.get("channel_type") == "im" or channel.startswith("D")
    match event.get("subtype"):
        case "message_changed":
            return _changed(event, channel, direct=direct)
        case "message_deleted":
            before = _map(event, "previous_message")
            ts = _word(event, "deleted_ts") or _word(before, "ts")
            return Removed(channel, ts, _thread(before, ts)) if channel and ts else None
        case _:
            return said_in(event, channel, direct=direct)


def _changed(event: Payload, channel: str, *, direct: bool) -> Said | None:
    """Return the edit of a message. Slack also reports a change when it adds a preview of a link."""
    after, before = _map(event, "message"), _map(event, "previous_message")
    version = _word(_map(after, "edited"), "ts")
    same = _str(after, "text") == _str(before, "text") and list(_files(after)) == list(_files(before))
    if not version or (before and same):
        return None
    return said_in(after, channel, direct=direct, version=version)


def _reaction(event: Payload) -> Reaction | None:
    item = _map(event, "item")
    channel, target = _word(item, "channel"), _word(item, "ts")
    user, name, at = _word(event, "user"), _word(event, "reaction"), _word(event, "event_ts")
    if not (channel and target and user and name and at):
        return None
    author, removed = _word(event, "item_user"), event.get("type") == "reaction_removed"
    return Reaction(channel, target, author, user, name[:100], at, removed)


def _renamed(event: Payload) -> Renamed | None:
    channel = _map(event, "channel")
    id_, name = _word(channel, "id"), _word(channel, "name")
    return Renamed(id_, name[:1000], _word(event, "event_ts") or id_) if id_ and name else None


def _member_changed(event: Payload, how: Literal["joined", "left"]) -> MemberChanged | None:
    channel, user, at = _word(event, "channel"), _word(event, "user"), _word(event, "event_ts")
    return MemberChanged(channel, user, at, how) if channel and user and at else None


def _pressed(payload: Payload) -> Pressed | None:
    actions = payload.get("actions")
    if payload.get("type") != "block_actions" or not isinstance(actions, list) or not actions:
        return None
    action = actions[0] if isinstance(actions[0], Mapping) else {}
    place, user = _map(payload, "container"), _word(_map(payload, "user"), "id")
    choice = button_of(_str(action, "value"))
    channel, at = _word(place, "channel_id"), _word(action, "action_ts")
    if choice is None or not (channel and user and at):
        return None
    shown = _word(place, "message_ts")
    thread = _thread(place, shown) or _thread(_map(payload, "message"), shown)
    return Pressed(channel, thread, user, *choice, at)


def button_value(question_id: str, value: str) -> str:
    """Return what a button carries: the question and the option."""
    return json.dumps([question_id, value], ensure_ascii=False)


def button_of(text: str) -> tuple[str, str] | None:
    """Return the question and the option of a button, or None if the button is not ours."""
    try:
        found = json.loads(text[:LONGEST_VALUE])
    except (ValueError, RecursionError):
        return None
    match found:
        case [str(question_id), str(value)] if question_id:
            return question_id, value
        case _:
            return None


def _thread(message: Payload, ts: str) -> str | None:
    """Return the thread of a message. The first message of a thread is not in it."""
    thread = _word(message, "thread_ts")
    return thread if thread and thread != ts else None


def _files(message: Payload) -> Sequence[SlackFile]:
    found = message.get("files")
    return [_file(each) for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _file(found: Payload) -> SlackFile:
    size = found.get("size")
    return SlackFile(
        _word(found, "id"),
        (_str(found, "name") or _str(found, "title") or _word(found, "id") or "file")[:1000],
        _str(found, "mimetype")[:200],
        _str(found, "url_private_download") or _str(found, "url_private"),
        size if isinstance(size, int) and not isinstance(size, bool) else 0,
    )


def _map(found: Payload, key: str) -> Payload:
    value = found.get(key)
    return value if isinstance(value, Mapping) else {}


def _str(found: Payload, key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _word(found: Payload, key: str) -> str:
    """Return an id: a text that is not longer than ids are; anything else is empty."""
    value = _str(found, key)
    return value if len(value) <= 200 else ""  # noqa: PLR2004 -- far above the ids of Slack
