"""The command /clear: forget the conversation."""

from datetime import datetime

from agent_runner import outbound, session_state
from agent_runner.commands.base import Answered, CommandContext, SlashCommand, do_nothing, for_admins
from agent_runner.providers import Forgetting
from agent_runner.session_state import MODEL
from agent_runner.store import Connection

TEXT = "The conversation is cleared: I start afresh. Files, notes and tasks stay."


async def run(context: CommandContext) -> Answered:
    """Empty the session's state except the chosen model, then tell the provider."""
    forget = context.handler.forget if isinstance(context.handler, Forgetting) else do_nothing
    return Answered(TEXT, also=_forget, drops_context=True, afterwards=forget)


def _forget(connection: Connection, now: datetime) -> None:
    session_state.clear(connection, keep=(MODEL,))
    outbound.forget_stopped(connection, now)


COMMAND = SlashCommand(
    "clear", "/clear", "forget this conversation; files, notes and tasks stay", run, for_admins
)
