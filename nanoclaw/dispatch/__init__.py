"""Dispatch: delivers each outgoing row to a chat, to another agent, or to the host."""

from nanoclaw.dispatch.dispatcher import Dispatcher
from nanoclaw.dispatch.host_actions import ActionHandler, Request
from nanoclaw.registry import ActionRefused

__all__ = ["ActionHandler", "ActionRefused", "Dispatcher", "Request"]
