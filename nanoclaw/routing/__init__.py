"""Routing of inbound events to the sessions that store them, the life of questions, and strangers."""

from nanoclaw.routing.clicks import Shows
from nanoclaw.routing.drops import Drops
from nanoclaw.routing.engaged import EngagedThreads
from nanoclaw.routing.pairing import Pairing
from nanoclaw.routing.question_desk import QuestionDesk
from nanoclaw.routing.router import Router
from nanoclaw.routing.strangers import HeldKeeper, Strangers
from nanoclaw.routing.waiting_files import WaitingFiles

__all__ = [
    "Drops",
    "EngagedThreads",
    "HeldKeeper",
    "Pairing",
    "QuestionDesk",
    "Router",
    "Shows",
    "Strangers",
    "WaitingFiles",
]
