"""Messages as a model reads them: one element each, with its number, sender and local time."""

from collections.abc import Sequence
from datetime import datetime

from agent_runner.prompt.forms import View, view_of, write_inbound, write_sent
from agent_runner.prompt.markup import block, share
from agent_runner.records import Inbound, Turn
from agent_runner.text import dump

LONGEST_MESSAGE, MOST_MESSAGES = 50_000, 200_000
LONGEST_CONTEXT, MOST_CONTEXT = 4_000, 60_000
"""Limits of one text and of all together, in characters. What is longer is cut in the middle."""
LONGEST_SENT = 4_000
INTERRUPTED = (
    "You worked on these messages before and were interrupted. You had already done what follows. "
    "Do not repeat it; continue from there."
)


def render_turn(turn: Turn) -> str:
    """Return the messages of a turn, their context, and what was done before an interruption."""
    return _joined(
        _context(turn, turn.context, turn.context_omitted),
        _messages(turn, turn.messages, turn.now),
        _interrupted(turn),
    )


def render_follow_ups(turn: Turn, messages: Sequence[Inbound]) -> str:
    """Return messages that came while the turn was running. Those that need no answer come first."""
    context = [message for message in messages if not message.trigger]
    return _joined(
        _context(turn, context, 0), _messages(turn, [message for message in messages if message.trigger])
    )


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _context(turn: Turn, messages: Sequence[Inbound], omitted: int) -> str:
    view = _view(turn, messages, MOST_CONTEXT, LONGEST_CONTEXT)
    parts = [f"({omitted:,} older messages are left out)"] if omitted else []
    return block("context", [*parts, *(write_inbound(view, message) for message in messages)])


def _messages(turn: Turn, messages: Sequence[Inbound], now: datetime | None = None) -> str:
    view = _view(turn, messages, MOST_MESSAGES, LONGEST_MESSAGE)
    written = [write_inbound(view, message) for message in messages]
    return block("messages", written, now=view.time(now) if now else None)


def _interrupted(turn: Turn) -> str:
    if not turn.already_sent:
        return ""
    view = view_of(turn, LONGEST_SENT)
    return block("interrupted", [INTERRUPTED, *(write_sent(view, sent) for sent in turn.already_sent)])


def _view(turn: Turn, messages: Sequence[Inbound], most: int, longest: int) -> View:
    sizes = [len(dump(message.content)) for message in messages]
    return view_of(turn, share(sizes, most, longest))
