"""The meter of the gateway: it is asked before each request to a model, and told of each answer."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio
from attrs import frozen


@frozen(kw_only=True)
class ModelUsage:
    """What one request to a model took, as its server counted it."""

    session_id: str
    agent_group_id: str
    provider: str
    """The provider that spoke to it, such as `anthropic`."""
    model: str
    """The model's name, as the server reported it, else as it was asked for."""
    input_tokens: int = 0
    """Tokens that were read, without those that came from the server's cache."""
    cached_tokens: int = 0
    """Tokens that were read from the server's cache."""
    cache_write_tokens: int = 0
    """Tokens that were written to the server's cache."""
    output_tokens: int = 0
    """Tokens of the answer."""
    tool_calls: int = 0
    """Calls of tools in the answer."""
    base_url: str | None = None
    """The address of the server. None means that of the configured model."""


Pause = Callable[[], Awaitable[object]]
"""Waits for a better moment to write."""
no_pause: Pause = trio.lowlevel.checkpoint


class Meter(Protocol):
    """Counts what models take, and says when a budget is used up."""

    def refusal(self, session_id: str, agent_group_id: str, /) -> str | None:
        """Return why this session may ask no model now, in words for people; None if it may."""
        ...

    async def spent(self, usage: ModelUsage, pause: Pause = no_pause, /) -> None:
        """Record what a request took. It counts at once. When this returns, it is on disk.

        `pause` is awaited before it is written. If the disk refuses it, it counts all the same, and is
        written with what follows.
        """
        ...


@frozen
class NoMeter:
    """Counts nothing and refuses nothing."""

    def refusal(self, _session_id: str, _agent_group_id: str, /) -> str | None:
        """Return None."""
        return None

    async def spent(self, _usage: ModelUsage, _pause: Pause = no_pause, /) -> None:
        """Do nothing."""
