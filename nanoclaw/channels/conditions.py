"""The troubles of channels: why a half of a channel does not run now, and since when, for `status`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

import trio
from attrs import Factory, define, evolve, frozen

from nanoclaw.channels.protocol import ChannelUnavailable, Condition, Unattended
from nanoclaw.system.clock import Clock, SystemClock
from nanoclaw.system.foreign import ForeignError, described

Half = Literal["sender", "receiver", "chats"]
"""`chats`: the deliveries to single chats, which a network may limit while it is connected."""
HALVES: tuple[Half, ...] = ("sender", "receiver", "chats")
WELL_S = 5.0
"""Seconds without a failure after which a half has recovered."""
LONGEST = 500
"""Limit of a reason in characters."""


@frozen
class Trouble:
    """The last failure of a half of a channel."""

    condition: Condition
    reason: str
    since: datetime
    """The date of the first failure since it last ran well."""
    at: float
    """The time of the last failure on trio's clock."""
    until: float = 0.0
    """The time on trio's clock until which the network takes nothing."""

    @property
    def recent(self) -> bool:
        """True if it is too early to say that the half has recovered."""
        now = trio.current_time()
        return now < self.at + WELL_S or now < self.until


@define(eq=False)
class Conditions:
    """The last failure of each half of each channel."""

    _clock: Clock = Factory(SystemClock)
    _found: dict[tuple[str, Half], Trouble] = Factory(dict)
    _refused: trio.Event = Factory(trio.Event)

    def failed(self, channel: str, half: Half, error: BaseException, began: float) -> None:
        """Note a failure. `began`: the time on trio's clock at which the half had started."""
        condition: Condition = error.condition if isinstance(error, ChannelUnavailable) else "down"
        retry_after = getattr(error, "retry_after", None) or 0.0
        plain = isinstance(error, ChannelUnavailable | ForeignError)
        reason = (str(error) if plain else described(error))[:LONGEST]
        now, before = trio.current_time(), self._found.get((channel, half))
        found = Trouble(condition, reason, self._clock.now(), now, now + min(retry_after, 3600.0))
        if before is not None and now - began < WELL_S and condition == before.condition:
            found = evolve(found, since=before.since)
        self._found[channel, half] = found
        if condition == "unauthorized":
            self._refused.set()

    async def unauthorized(self) -> None:
        """Wait until a secret is refused or cannot be read. One task may call it."""
        await self._refused.wait()
        self._refused = trio.Event()

    def is_unauthorized(self, channel: str) -> bool:
        """Return True if the last failure of a half of the channel is about its secret."""
        found = (self._found.get((channel, half)) for half in HALVES)
        return any(each is not None and each.condition == "unauthorized" for each in found)

    def refused(self, channel: str, error: ChannelUnavailable) -> None:
        """Note that the network took no message for a chat, if that concerns more than the chat."""
        if error.condition != "down" and not isinstance(error, Unattended):
            before = self._found.get((channel, "chats"))
            self.failed(channel, "chats", error, before.at if before else trio.current_time())

    def well(self, channel: str, half: Half) -> None:
        """Forget the failure of a half that works again."""
        self._found.pop((channel, half), None)

    def forget(self, channel: str) -> None:
        """Forget a channel that is removed."""
        for half in HALVES:
            self._found.pop((channel, half), None)

    def of(self, channel: str, *, sender_runs: bool, receiver_runs: bool) -> Trouble | None:
        """Return the trouble of a channel now, or None. The arguments are the states in the live tree."""
        runs = {"sender": sender_runs, "receiver": receiver_runs, "chats": True}
        return next(
            (
                found
                for (name, half), found in sorted(self._found.items(), key=lambda each: -_order(each[0][1]))
                if name == channel and (found.recent or not runs[half])
            ),
            None,
        )


@contextmanager
def noted(conditions: Conditions, channel: str, half: Half) -> Iterator[None]:
    """Note a failure of the body, which runs a half of a channel. It is raised unchanged."""
    began = trio.current_time()
    try:
        yield
    except Exception as error:
        conditions.failed(channel, half, error, began)
        raise


def _order(half: Half) -> int:
    """Return the rank of a half: what the sender says is the reason of what the receiver says."""
    return {"sender": 2, "receiver": 1, "chats": 0}[half]
