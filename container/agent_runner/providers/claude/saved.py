"""The end of the conversation in the session's state, committed with each turn."""

import json

from attrs import frozen

from agent_runner.providers.claude.launch import Position

KEY = "claude/session"


@frozen
class Saved:
    """What the state says about the conversation."""

    position: Position | None = None
    """Where it goes on; None begins a new one."""
    seen: str = ""
    """The newest key of the shared history that Claude Code knows."""

    def to_text(self) -> str | None:
        """Return the value for the state; None to remove it."""
        if self.position is None:
            return None
        return json.dumps({"session": self.position.session, "at": self.position.at, "seen": self.seen})


def read_saved(text: str | None) -> Saved:
    """Read the value of the state. A bad one begins a new conversation."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return Saved()
    match value:
        case {"session": str(session), "at": str(at), "seen": str(seen)}:
            return Saved(Position(session, at), seen)
        case _:
            return Saved()
