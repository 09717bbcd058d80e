"""Recognizes slash commands. Pure: the columns of a row in, the command that it calls out."""

import re
from typing import Literal, cast, get_args

from attrs import frozen

from agent_runner.text import load

Name = Literal["clear", "compact", "help", "model", "status", "stop", "tasks"]
NAMES: tuple[Name, ...] = get_args(Name)
CHAT_KINDS = ("chat", "chat-sdk")
EDIT_OF = "editOf"
"""The key of an edit: the number of its message. An edit calls no command, so that none is run twice."""

_HINT = re.compile(rf"/(?:{'|'.join(NAMES)})(?![a-z])", re.IGNORECASE)
_CALL = re.compile(
    rf"(?:<?@[^\s>]+>?[,:]?\s+)*/(?P<name>{'|'.join(NAMES)})(?:@\w+)?(?:\s+(?P<arguments>.*))?",
    re.IGNORECASE | re.DOTALL,
)


@frozen
class Call:
    """A command that a message calls."""

    name: Name
    arguments: str = ""


def read_call(kind: object, channel_type: object, content: object) -> Call | None:
    """Return the command in a row, or None. Other agents call no commands."""
    if kind not in CHAT_KINDS or channel_type == "agent":
        return None
    if not isinstance(content, str) or not _HINT.search(content):
        return None
    try:
        found = load(content)
    except ValueError:
        return None
    text = found.get("text")
    return read_text(text) if isinstance(text, str) and EDIT_OF not in found else None


def read_text(text: str) -> Call | None:
    """Return the command that a text calls, or None.

    A mention may come before it, and a bot's name after it: `@Nano /stop`, `/stop@nano_bot`.
    """
    match = _CALL.fullmatch(text.strip())
    if match is None:
        return None
    return Call(cast("Name", match["name"].lower()), (match["arguments"] or "").strip())
