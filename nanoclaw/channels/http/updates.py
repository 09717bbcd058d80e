"""The values that a client of a chat sees: stored entries, and hints that are not stored."""

from attrs import frozen

from nanoclaw.channels.protocol import Outcome
from nanoclaw.store.transcript.entries import Entry


@frozen
class Drafted:
    """The text so far of an answer. An empty text removes it. So does the next entry of that thread."""

    chat: str
    thread: str
    text: str


@frozen
class Working:
    """The agent is at work."""

    chat: str
    thread: str


@frozen
class Settled:
    """A user's message is done, and no reply to it is on its way."""

    chat: str
    thread: str
    message_id: str
    outcome: Outcome


Hint = Drafted | Working | Settled
Update = Entry | Hint
