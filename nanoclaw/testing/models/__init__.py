"""A fake model server for tests. It speaks the formats of Anthropic and OpenAI, and misbehaves on demand.

async with open_fake_model(["hello", ModelFailure(429, headers={"retry-after": "3"})]) as model:
    ...  # give model.url to a client, then read model.requests
"""

from nanoclaw.testing.models.answers import (
    Answers,
    ModelAnswer,
    ModelBreak,
    ModelCall,
    ModelFailure,
    ModelRequest,
    ModelUsage,
    Reaction,
)
from nanoclaw.testing.models.model import FakeModel, ModelResponse
from nanoclaw.testing.models.server import open_fake_model

__all__ = [
    "Answers",
    "FakeModel",
    "ModelAnswer",
    "ModelBreak",
    "ModelCall",
    "ModelFailure",
    "ModelRequest",
    "ModelResponse",
    "ModelUsage",
    "Reaction",
    "open_fake_model",
]
