"""Routing of inbound events to the sessions that store them, and the life of questions."""

from nanoclaw.routing.clicks import Shows
from nanoclaw.routing.question_desk import QuestionDesk
from nanoclaw.routing.router import Router

__all__ = ["QuestionDesk", "Router", "Shows"]
