"""Runners that stop where they are, or are slow, as processes of a machine may be."""

import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from random import Random
from typing import TypeVar

import trio
from attrs import Factory, define, evolve, field, frozen

from agent_runner.providers import Provider, ProviderContext, Toolbox, ToolSpec, TurnHandler
from agent_runner.records import Address, Inbound, Result, Turn
from agent_runner.seams import Clock, Executor, Lane, Seams
from nanoclaw.runtimes import RunnerSpec
from nanoclaw.testing.virtual import Moment

T = TypeVar("T")
SLOWEST_S = 2.0


@define(eq=False)
class Body:
    """What one runner does everything through. Frozen, its clock stands, too, and so does its heartbeat."""

    clock: Clock
    thawed: trio.Event | None = None
    stood_at: datetime | None = None
    stands_since: float = math.inf
    lag: Random | None = None
    begun: bool = False
    """Whether it has ever done anything: that of a runner that is adopted stays what it was."""
    rests_since: float | None = Factory(trio.current_time)
    """Since when it is in no turn."""
    at_work: trio.Event = Factory(trio.Event)
    """Set when it begins its next turn."""
    listens_since: float | None = None
    """In its turn, since when it waits for follow-ups, which it may have."""

    @property
    def hindered(self) -> bool:
        """Whether it stands or is slow."""
        return self.thawed is not None or self.lag is not None

    def freeze(self) -> None:
        """Stop where it is; once more is no more than once."""
        if self.thawed is not None:
            return
        self.thawed, self.stood_at = trio.Event(), self.clock.now()
        self.stands_since = trio.current_time()

    def thaw(self) -> None:
        """Go on."""
        if self.thawed is not None:
            self.thawed.set()
        self.thawed, self.stood_at, self.stands_since = None, None, math.inf

    def now(self) -> datetime:
        """The date, as it sees it."""
        return self.stood_at or self.clock.now()

    async def wait(self) -> None:
        """Wait while it stands, or for as long as it takes."""
        self.begun = True
        while self.thawed is not None:
            await self.thawed.wait()
        if self.lag is not None:
            await trio.sleep(self.lag.uniform(0.0, SLOWEST_S))


@frozen
class _BodyExecutor:
    """The runner's executor; implements `agent_runner.seams.Executor`."""

    executor: Executor
    body: Body
    before_commit: Callable[..., None]
    after_commit: Callable[..., None]

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` when it gets round to it."""
        await self.body.wait()
        return await self.executor.run(call, lane=lane)


@define(eq=False)
class Tries:
    """When each try of a message ended, by the message: what comes again has to wait."""

    clock: Clock
    ended: dict[str, tuple[int, Moment]] = Factory(dict)
    """The number of the try, and when."""
    turns: list[tuple[tuple[int, str, int], ...]] = Factory(list)
    """Of the messages of each turn: number, id, tries."""
    heard: dict[str, tuple[object, object]] = Factory(dict)
    """Text and sender of each message that an agent has had, by its id."""
    homes: dict[str, Address] = Factory(dict)
    """By turn, the chat of its first message that has one."""
    spent: Counter[str] = Factory(Counter)
    """How often a turn gave back each message; whoever knows of deaths counts them here, too."""
    pauses: list[tuple[str, int, float]] = Factory(list)
    """Message, number of the try, seconds from the end of the one before: of both clocks the more."""

    def hear(self, messages: Sequence[Inbound]) -> None:
        """An agent has these, of which some may be context."""
        for message in messages:
            self.heard[message.id] = (message.content.get("text"), message.content.get("senderId"))

    @contextmanager
    def of(self, messages: Sequence[Inbound], dying: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """One turn with them; `dying`: whether its runner is on its way out."""
        self.turns.append(tuple((message.seq, message.id, message.tries) for message in messages))
        for message in messages:
            number, moment = self.ended.get(message.id, (message.tries, None))
            if moment is not None and number < message.tries:
                # The date may have been set back before the host heard of the end, and said when the next is.
                self.pauses.append((message.id, message.tries, moment.passed(self.clock)))
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception) or not dying():
                self.spent.update(message.id for message in messages)
            raise
        finally:
            now = Moment.of(self.clock)
            self.ended.update((message.id, (message.tries, now)) for message in messages)


@frozen
class _BodyProvider:
    """The runner's provider; implements `agent_runner.providers.Provider`."""

    provider: Provider
    body: Body
    tries: Tries
    dying: Callable[[], bool]

    @property
    def name(self) -> str:
        """The provider's."""
        return self.provider.name

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        """Open the provider."""
        async with self.provider.open(context) as handler:
            yield _BodyTurns(handler, self.body, self.tries, self.dying)


@frozen
class _BodyTurns:
    """The turns of the runner's provider; implements `agent_runner.providers.TurnHandler`."""

    handler: TurnHandler
    body: Body
    tries: Tries
    dying: Callable[[], bool]

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Take a turn, and let it be seen."""
        self.tries.homes.update((turn.turn_id, each.address) for each in turn.messages[::-1] if each.address)
        self.tries.hear([*turn.context, *turn.messages])
        alone = any(message.tries for message in turn.messages)
        self.body.rests_since = None
        self.body.at_work.set()
        self.body.at_work = trio.Event()
        try:
            with self.tries.of(turn.messages, self.dying):
                tools = _BodyTools(tools, self.body, self.tries, alone=alone)
                return await self.handler.run(turn, tools)
        finally:
            self.body.rests_since = trio.current_time()


@frozen
class _BodyTools:
    """A turn's tools; implements `agent_runner.providers.Toolbox`."""

    tools: Toolbox
    body: Body
    tries: Tries
    alone: bool
    """Whether nothing comes to this turn any more."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools there are."""
        return self.tools.specs

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Call a tool."""
        return await self.tools.call(name, arguments)

    async def follow_ups(self) -> Sequence[Inbound]:
        """Wait for follow-ups, and let that be seen."""
        self.body.listens_since = None if self.alone else trio.current_time()
        try:
            found = await self.tools.follow_ups()
            self.tries.hear(found)
            return found
        finally:
            self.body.listens_since = None

    def alive(self) -> None:
        """Say that the provider still gets on."""
        self.tools.alive()


@define(eq=False)
class Bodies:
    """Those of all runners of a world, by session."""

    clock: Clock
    dying: Callable[[str], bool] = lambda _session: False
    """Whether the runner of a session is on its way out."""
    _bodies: dict[str, list[Body]] = Factory(lambda: defaultdict(list))
    tries: Tries = field(init=False, default=Factory(lambda self: Tries(self.clock), takes_self=True))

    def wrap(self, spec: RunnerSpec, seams: Seams) -> Seams:
        """Give a runner that starts a body."""
        body = Body(self.clock)
        self._bodies[spec.session_id].append(body)
        own = seams.executor
        executor = _BodyExecutor(own, body, own.before_commit, own.after_commit)
        return evolve(
            seams,
            clock=body,
            executor=executor,
            provider=_BodyProvider(seams.provider, body, self.tries, partial(self.dying, spec.session_id)),
        )

    def of(self, session_id: str) -> Body | None:
        """That of the session's last runner."""
        return next((body for body in reversed(self._bodies.get(session_id, [])) if body.begun), None)

    @contextmanager
    def frozen(self, session_id: str) -> Iterator[None]:
        """While it is open, the session's runner stands; one that is started meanwhile does not."""
        bodies = list(self._bodies[session_id])
        for body in bodies:
            body.freeze()
        try:
            yield
        finally:
            for body in bodies:
                body.thaw()

    @contextmanager
    def slow(self, session_id: str, random: Random) -> Iterator[None]:
        """While it is open, the session's runner is slow."""
        bodies = list(self._bodies[session_id])
        for body in bodies:
            body.lag = random
        try:
            yield
        finally:
            for body in bodies:
                body.lag = None

    def thaw(self) -> None:
        """Let all go on."""
        for bodies in self._bodies.values():
            for body in bodies:
                body.thaw()
                body.lag = None
