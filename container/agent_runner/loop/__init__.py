"""The agent loop: asks a model, runs the tools that it calls, keeps the conversation.

It is one for all models. A `ModelClient` translates between the loop and a model's API, and `LoopProvider`
makes a provider of it.
"""

from agent_runner.loop.client import (
    ModelClient,
    ModelReply,
    ModelRequest,
    Stop,
    Usage,
)
from agent_runner.loop.conversation import (
    Asked,
    Blob,
    FilePart,
    Message,
    Part,
    Returned,
    Said,
    Text,
    ToolCall,
    ToolResult,
)
from agent_runner.loop.errors import ModelError, Problem
from agent_runner.loop.provider import LoopProvider

__all__ = [
    "Asked",
    "Blob",
    "FilePart",
    "LoopProvider",
    "Message",
    "ModelClient",
    "ModelError",
    "ModelReply",
    "ModelRequest",
    "Part",
    "Problem",
    "Returned",
    "Said",
    "Stop",
    "Text",
    "ToolCall",
    "ToolResult",
    "Usage",
]
