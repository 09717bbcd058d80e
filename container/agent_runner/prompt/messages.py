"""Messages as a model reads them."""

from collections.abc import Sequence

from agent_runner.records import Inbound, Turn


def render_turn(turn: Turn) -> str:
    """Return the messages of a turn, their context, and what was done before an interruption."""
    return render_follow_ups(turn, turn.messages)


def render_follow_ups(turn: Turn, messages: Sequence[Inbound]) -> str:
    """Return messages that came while the turn was running."""
    del turn
    return "\n".join(str(message.content.get("text", "")) for message in messages)
