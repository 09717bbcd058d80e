"""Sessions: one actor per conversation, and the directory that finds or starts it."""

from nanoclaw.session.actor import Accept
from nanoclaw.session.answering import answering
from nanoclaw.session.conversations import every_conversation, open_conversations
from nanoclaw.session.directory import SessionDown, Sessions, open_sessions
from nanoclaw.session.dispatch import AgentInbox, Dispatch, Source
from nanoclaw.session.presence import Presences
from nanoclaw.session.services import Conversation, NoObserver, Observer, Services

__all__ = [
    "Accept",
    "AgentInbox",
    "Conversation",
    "Dispatch",
    "NoObserver",
    "Observer",
    "Presences",
    "Services",
    "SessionDown",
    "Sessions",
    "Source",
    "answering",
    "every_conversation",
    "open_conversations",
    "open_sessions",
]
