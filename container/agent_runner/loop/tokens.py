"""Estimates of tokens, and the sizes of models' contexts."""

from collections.abc import Mapping, Sequence

from attrs import define, frozen

from agent_runner.loop.client import ModelRequest, Usage
from agent_runner.loop.conversation import Asked, Blob, Message

CHARACTERS_A_TOKEN = 3.5
TOKENS_A_MESSAGE = 8
TOKENS_A_PICTURE = 1600
BYTES_A_PAGE = 50_000
"""Bytes of a PDF for which one page is assumed."""
UNKNOWN_CONTEXT = 32_000
CONTEXTS: Mapping[str, int] = {
    "claude": 200_000,
    "gpt-3.5": 16_000,
    "gpt-4.1": 1_000_000,
    "gpt-4o": 128_000,
    "gpt-4-turbo": 128_000,
    "gpt-4": 8_000,
    "gpt-5": 400_000,
    "o1": 200_000,
    "o3": 200_000,
    "o4": 200_000,
    "gemini": 1_000_000,
    "deepseek": 128_000,
    "mistral-large": 128_000,
}
"""Context sizes by the beginning of a model's name. The first that fits counts."""
LEAST, MOST = 0.8, 3.0
"""Bounds of the correction. Some servers report only the tokens that they had not cached."""
FULL = 0.75
"""The part of the context that a request may fill."""
LEAST_OUTPUT = 256


@frozen
class Room:
    """The sizes of a model, in tokens."""

    context: int
    """The request and the answer together."""
    output: int
    """The most tokens of an answer."""

    @property
    def input(self) -> int:
        """The most tokens of a request before the conversation is shortened."""
        return int(min(self.context * FULL, self.context - self.output))


def room(name: str, max_tokens: int, configured: int = 0, learned: int = 0) -> Room:
    """Return the sizes of a model: as configured, else as learned from its server, else by its name."""
    context = configured or learned or _by_name(name)
    return Room(context, max(min(max_tokens, context // 4), min(LEAST_OUTPUT, context // 2)))


def _by_name(name: str) -> int:
    plain = name.rpartition("/")[2].lower()
    return next((size for begin, size in CONTEXTS.items() if plain.startswith(begin)), UNKNOWN_CONTEXT)


def tokens_of(messages: Sequence[Message]) -> float:
    """Estimate the tokens of messages."""
    characters = sum(message.size for message in messages)
    blobs = sum(_tokens_of_blob(part) for part in _blobs(messages))
    return characters / CHARACTERS_A_TOKEN + TOKENS_A_MESSAGE * len(messages) + blobs


def _blobs(messages: Sequence[Message]) -> Sequence[Blob]:
    asked = [message for message in messages if isinstance(message, Asked)]
    return [part for message in asked for part in message.parts if isinstance(part, Blob)]


def _tokens_of_blob(blob: Blob) -> int:
    pages = 1 if blob.media_type.startswith("image/") else 1 + len(blob.data) // BYTES_A_PAGE
    return TOKENS_A_PICTURE * pages


def tokens_of_request(request: ModelRequest) -> float:
    """Estimate the tokens of a request."""
    tools = sum(spec.size for spec in request.tools)
    return (len(request.system) + tools) / CHARACTERS_A_TOKEN + tokens_of(request.messages)


@define(eq=False)
class Correction:
    """Corrects estimates by what the server reports. It begins at 1 and changes slowly."""

    factor: float = 1.0

    def learn(self, estimated: float, usage: Usage) -> None:
        """Take the tokens that a server reports for a request."""
        if usage.asked and estimated > 0:
            seen = min(max(usage.asked / estimated, LEAST), MOST)
            self.factor = 0.5 * self.factor + 0.5 * seen

    def of(self, estimated: float) -> float:
        """Return a corrected estimate."""
        return estimated * self.factor
