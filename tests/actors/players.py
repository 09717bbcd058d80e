"""Actors and messages for the tests: they do what a message says, and log what happens."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Self, TypeVar

import trio
from attrs import define, frozen
from outcome import Error, Outcome, Value

from actors import Backoff, Bury, Context, Escalate, Policy, Refusal

Log = list[str]
T = TypeVar("T")

PATIENT = Policy(intensity=1000, backoff=Backoff(jitter=0))
"""A policy that never gives up within a test and restarts after exactly 0.1, 0.2, 0.4 … seconds."""


def burying(retry_after: float | None = None, intensity: int = 0) -> Policy:
    return Policy(intensity=intensity, backoff=Backoff(jitter=0), give_up=Bury(retry_after))


def escalating(intensity: int = 0) -> Policy:
    return Policy(intensity=intensity, backoff=Backoff(jitter=0), give_up=Escalate())


def seeded() -> Random:
    return Random(0)


@define(eq=False)
class Player:
    context: Context["Player"]
    log: Log


async def nothing() -> None:
    pass


def plays(
    log: Log,
    enter: Callable[[], Awaitable[None]] = nothing,
    leave: Callable[[], Awaitable[None]] = nothing,
) -> Callable[[Context[Player]], AbstractAsyncContextManager[Player]]:
    """Make a recipe that logs `name in` after `enter`, and `name out` after `leave`, even if that fails."""

    @asynccontextmanager
    async def recipe(context: Context[Player]) -> AsyncIterator[Player]:
        await enter()
        log.append(f"{context.name} in")
        try:
            yield Player(context, log)
        finally:
            try:
                await leave()
            finally:
                log.append(f"{context.name} out")

    return recipe


def with_background(
    log: Log, work: Callable[[Context[Player]], Awaitable[None]]
) -> Callable[[Context[Player]], AbstractAsyncContextManager[Player]]:
    """Make a recipe with a background task."""

    @asynccontextmanager
    async def recipe(context: Context[Player]) -> AsyncIterator[Player]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, context)
            yield Player(context, log)
            nursery.cancel_scope.cancel()

    return recipe


class No(Refusal):
    pass


@frozen
class Say:
    text: str

    async def handle(self, actor: Player) -> str:
        actor.log.append(self.text)
        return self.text


@frozen
class Fail:
    error: Exception

    async def handle(self, actor: Player) -> None:
        actor.log.append("fail")
        raise self.error


@frozen
class Sleep:
    seconds: float

    async def handle(self, actor: Player) -> str:
        await trio.sleep(self.seconds)
        actor.log.append(f"slept {self.seconds}")
        return "slept"


@frozen
class Retire:
    async def handle(self, actor: Player) -> bool:
        await trio.lowlevel.checkpoint()
        return actor.context.retire()


@frozen
class Do:
    what: Callable[[Player], Awaitable[object]]

    async def handle(self, actor: Player) -> object:
        return await self.what(actor)


@frozen
class Store:
    """A message that is handled in batches. A text with `refused` or `broken` is answered by an error."""

    text: str

    async def handle(self, actor: Player) -> str:
        actor.log.append(f"one {self.text}")
        return self.text

    @classmethod
    async def handle_all(cls, actor: Player, messages: Sequence[Self]) -> Sequence[Outcome[str]]:
        await trio.lowlevel.checkpoint()
        actor.log.append("+".join(message.text for message in messages))
        return [message.outcome() for message in messages]

    def outcome(self) -> Outcome[str]:
        if self.text.startswith("refused"):
            return Error(No(self.text))
        if self.text.startswith("broken"):
            return Error(ValueError(self.text))
        return Value(self.text)


@frozen
class Lose:
    """A message whose batch handler returns too few answers."""

    async def handle(self, actor: Player) -> None:
        raise NotImplementedError

    @classmethod
    async def handle_all(cls, _actor: Player, _messages: Sequence[Self]) -> Sequence[Outcome[None]]:
        await trio.lowlevel.checkpoint()
        return []


class Told(list[object]):
    """An observer that keeps every event."""

    def __call__(self, event: object) -> None:
        self.append(event)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self if isinstance(event, kind)]
