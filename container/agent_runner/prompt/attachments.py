"""The attachments of a message, as files that a model may be shown."""

from pathlib import Path

from attrs import frozen

from agent_runner.providers import ProviderContext
from agent_runner.records import Inbound


@frozen
class Attachment:
    """A file that a user sent."""

    name: str
    """The name that the user gave it."""
    path: Path
    """The file, below the session's inbox."""
    media_type: str
    """Its type, such as `image/png`; by its first bytes, not by its name."""


def attachments(context: ProviderContext, message: Inbound) -> tuple[Attachment, ...]:
    """Return the files of a message that are there."""
    del context, message
    return ()
