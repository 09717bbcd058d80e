"""A slash command, and the context of a call."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from attrs import field, frozen

from agent_runner.commands.call import Name
from agent_runner.providers import TurnHandler
from agent_runner.records import Inbound
from agent_runner.session import Session
from agent_runner.store import Connection
from agent_runner.turns.outcome import change_nothing


async def do_nothing() -> None:
    """Do nothing."""


@frozen
class Answered:
    """The answer to a command, with what is committed and done with it."""

    text: str
    state: Mapping[str, str | None] = field(factory=dict)
    """Changes of the session's state."""
    also: Callable[[Connection, datetime], None] = change_nothing
    """Further changes in the transaction of the answer."""
    drops_context: bool = False
    """True if the agent shall not see the unread context from before the command."""
    afterwards: Callable[[], Awaitable[None]] = do_nothing
    """Called once the answer is committed. If the runner dies before that, it is never called."""


@frozen
class CommandContext:
    """A call of a command: its session, its provider, and the message that called it."""

    session: Session
    handler: TurnHandler
    message: Inbound
    arguments: str


@frozen
class SlashCommand:
    """A command. `usage` and `summary` are its line of `/help`."""

    name: Name
    usage: str
    summary: str
    run: Callable[[CommandContext], Awaitable[Answered]]
    """Answers a call. Raises ProviderError if the model cannot be asked now."""
    is_for_admins: Callable[[str], bool]
    """Returns True if only administrators may call it with these arguments."""
    purpose: str = ""
    """What only administrators do with it, for its refusal, such as ` to end my work`."""
    asks_model: bool = False
    """True if a call may take as long as a turn of the model."""


def for_everybody(arguments: str) -> bool:
    """Return False: everybody may call it."""
    del arguments
    return False


def for_admins(arguments: str) -> bool:
    """Return True: only administrators may call it."""
    del arguments
    return True


def sender(message: Inbound) -> str | None:
    """Return the id of the user who wrote a message, or None."""
    match message.content:
        case {"senderId": str(id_)}:
            return id_
        case {"author": {"userId": str(id_)}} if message.address:
            return f"{message.address.channel_type}:{id_}"
        case _:
            return None


def is_admin(session: Session, message: Inbound) -> bool:
    """Return True if an administrator of the agent wrote a message."""
    return sender(message) in session.config.admin_user_ids
