"""The simulation harness and public fakes (docs/simulation.md)."""

from nanoclaw.testing.brains import Brain, Script, asks, calls, fails, says, script, thinks
from nanoclaw.testing.channel import FakeChannel
from nanoclaw.testing.chats import Chat, User
from nanoclaw.testing.errors import ExpectationFailed, WorldError
from nanoclaw.testing.guards import NotSimulated
from nanoclaw.testing.simulation import simulate
from nanoclaw.testing.standstill import Standstill
from nanoclaw.testing.timeline import Timeline
from nanoclaw.testing.transcript import Entry
from nanoclaw.testing.world import Agent, World

__all__ = [
    "Agent",
    "Brain",
    "Chat",
    "Entry",
    "ExpectationFailed",
    "FakeChannel",
    "NotSimulated",
    "Script",
    "Standstill",
    "Timeline",
    "User",
    "World",
    "WorldError",
    "asks",
    "calls",
    "fails",
    "says",
    "script",
    "simulate",
    "thinks",
]
