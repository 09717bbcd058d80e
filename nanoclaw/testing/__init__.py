"""Worlds and fakes for tests of programs that use NanoClaw (docs/simulation.md)."""

from nanoclaw.testing.internet import FakeInternet
from nanoclaw.testing.memory_state import MemoryState
from nanoclaw.testing.models import (
    FakeModel,
    ModelAnswer,
    ModelBreak,
    ModelCall,
    ModelFailure,
    ModelRequest,
    ModelUsage,
    open_fake_model,
)
from nanoclaw.testing.world.agents import Agent
from nanoclaw.testing.world.channel import FakeChannel, wire
from nanoclaw.testing.world.chats import Chat, User
from nanoclaw.testing.world.errors import ExpectationFailed, WorldError
from nanoclaw.testing.world.isolation import NotSimulated
from nanoclaw.testing.world.scenario import simulate
from nanoclaw.testing.world.scripted_provider import Brain, Script, asks, calls, fails, says, script, thinks
from nanoclaw.testing.world.standstill import Standstill
from nanoclaw.testing.world.timeline import Timeline
from nanoclaw.testing.world.transcript import Entry
from nanoclaw.testing.world.world import World

__all__ = [
    "Agent",
    "Brain",
    "Chat",
    "Entry",
    "ExpectationFailed",
    "FakeChannel",
    "FakeInternet",
    "FakeModel",
    "MemoryState",
    "ModelAnswer",
    "ModelBreak",
    "ModelCall",
    "ModelFailure",
    "ModelRequest",
    "ModelUsage",
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
    "open_fake_model",
    "says",
    "script",
    "simulate",
    "thinks",
    "wire",
]
