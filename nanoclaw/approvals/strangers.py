"""How cards show people who were not let in, and their chats. They choose all of these texts."""

from nanoclaw.approvals.visible import visible
from nanoclaw.records import MessagingGroup

SHOWN = 300
"""Characters of a stranger's message that a card shows."""


def person(user_id: str, name: str | None) -> str:
    """Return a user as cards show them. They choose their name, so their id stands beside it."""
    shown = plain(name or "", 60)
    return f"{shown} ({plain(user_id, 80)})" if shown else plain(user_id, 80)


def place(chat: MessagingGroup) -> str:
    """Return a chat as cards show it."""
    shown, address = plain(chat.name or "", 60), plain(f"{chat.channel_type}:{chat.platform_id}", 100)
    kind = "the group" if chat.is_group else "the direct chat"
    return f"{kind} {shown} ({address})" if shown else f"{kind} {address}"


def quote(text: object) -> str:
    """Return a stranger's text on one line, so that it cannot pass for a part of the card."""
    return f"“{plain(str(text), SHOWN)}”"


def plain(text: str, longest: int) -> str:
    """Return a text on one line, as `visible` shows it, cut at `longest` characters."""
    line = visible(text[: longest + 1]).strip()
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
