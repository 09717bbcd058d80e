"""Actors on trio: mailboxes, ask/cast/signal, supervision, and a live tree to inspect."""

from actors._child import Context, Recipe
from actors._errors import ActorError, Crashed, GaveUp, Killed, Reason, Refusal, Stopped
from actors._events import Buried, Crash, Ended, Event, Refused, Retired, Started
from actors._message import Current, Message, current
from actors._monitors import Exit
from actors._policy import Backoff, Bury, Escalate, Policy
from actors._ref import Ref
from actors._supervisor import Supervisor, open_supervisor
from actors._tree import Node, State

__all__ = [
    "ActorError",
    "Backoff",
    "Buried",
    "Bury",
    "Context",
    "Crash",
    "Crashed",
    "Current",
    "Ended",
    "Escalate",
    "Event",
    "Exit",
    "GaveUp",
    "Killed",
    "Message",
    "Node",
    "Policy",
    "Reason",
    "Recipe",
    "Ref",
    "Refusal",
    "Refused",
    "Retired",
    "Started",
    "State",
    "Stopped",
    "Supervisor",
    "current",
    "open_supervisor",
]
