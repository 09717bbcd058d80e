"""Routing of inbound events to the sessions that store them, and the life of questions."""

from nanoclaw.routing.clicks import Shows
from nanoclaw.routing.engaged import EngagedThreads
from nanoclaw.routing.question_desk import QuestionDesk
from nanoclaw.routing.router import Router

__all__ = ["EngagedThreads", "QuestionDesk", "Router", "Shows"]
