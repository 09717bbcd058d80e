"""Faults of runners: they are frozen or slow."""

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

from agent_runner.errors import ProviderFatal
from agent_runner.providers import Provider, ProviderContext, Toolbox, ToolSpec, TurnHandler
from agent_runner.records import Address, Inbound, Result, Turn
from agent_runner.seams import Clock, Executor, Lane, Seams
from nanoclaw.runtimes import RunnerSpec
from nanoclaw.testing.models.model import FAKE_MODEL
from nanoclaw.testing.world.virtual_time import Moment, VirtualClock

T = TypeVar("T")
SLOWEST_S = 2.0


@define(eq=False)
class RunnerControl:
    """The control over one runner. Freezing it also stops its clock and its heartbeat."""

    clock: Clock
    thawed: trio.Event | None = None
    stood_at: datetime | None = None
    stands_since: float = math.inf
    lag: Random | None = None
    begun: bool = False
    """True after its first call. An adopted runner keeps its control."""
    rests_since: float | None = Factory(trio.current_time)
    """The time since which it has been in no turn."""
    at_work: trio.Event = Factory(trio.Event)
    """Set when it begins its next turn."""
    listens_since: float | None = None
    """The time since which its turn has waited for follow-ups."""

    @property
    def hindered(self) -> bool:
        """True if it is frozen or slow."""
        return self.thawed is not None or self.lag is not None

    def freeze(self) -> None:
        """Freeze the runner. A second call has no effect."""
        if self.thawed is not None:
            return
        self.thawed, self.stood_at = trio.Event(), self.clock.now()
        self.stands_since = trio.current_time()

    def thaw(self) -> None:
        """Let the runner continue."""
        if self.thawed is not None:
            self.thawed.set()
        self.thawed, self.stood_at, self.stands_since = None, None, math.inf

    def now(self) -> datetime:
        """Return the date that the runner sees."""
        return self.stood_at or self.clock.now()

    async def wait(self) -> None:
        """Wait while the runner is frozen, then for the delay of a slow one."""
        self.begun = True
        while self.thawed is not None:
            await self.thawed.wait()
        if self.lag is not None:
            await trio.sleep(self.lag.uniform(0.0, SLOWEST_S))


@frozen
class _ControlledExecutor:
    """The runner's executor; implements `agent_runner.seams.Executor`."""

    executor: Executor
    control: RunnerControl
    before_commit: Callable[..., None]
    after_commit: Callable[..., None]

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` after the wait of the control."""
        await self.control.wait()
        return await self.executor.run(call, lane=lane)


@define(eq=False)
class TurnLog:
    """A log of turns and of the end of each try of a message."""

    clock: VirtualClock
    ended: dict[str, tuple[int, Moment]] = Factory(dict)
    """By message, the number of the last try and the moment of its end."""
    turns: list[tuple[tuple[int, str, int], ...]] = Factory(list)
    """For each turn, its messages: number, id, tries."""
    heard: dict[str, tuple[object, object]] = Factory(dict)
    """By message id, the text and sender that an agent received."""
    homes: dict[str, Address] = Factory(dict)
    """By turn, the address of the first message that has one."""
    spent: Counter[str] = Factory(Counter)
    """Tries used up, by message."""
    given_up: set[str] = Factory(set)
    """Messages of turns that were given up for good, by ProviderFatal, and their follow-ups."""
    pauses: list[tuple[str, int, float]] = Factory(list)
    """Message, number of the try, and seconds since the previous try ended."""

    def hear(self, messages: Sequence[Inbound]) -> None:
        """Record messages that an agent received, context included."""
        for message in messages:
            self.heard[message.id] = (message.content.get("text"), message.content.get("senderId"))

    @contextmanager
    def of(self, messages: Sequence[Inbound], dying: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Record one turn. `dying` returns whether its runner is about to end."""
        self.turns.append(tuple((message.seq, message.id, message.tries) for message in messages))
        for message in messages:
            number, moment = self.ended.get(message.id, (message.tries, None))
            if moment is not None and number < message.tries:
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
class _ControlledProvider:
    """The runner's provider; implements `agent_runner.providers.Provider`."""

    provider: Provider
    control: RunnerControl
    turn_log: TurnLog
    dying: Callable[[], bool]

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.provider.name

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        """Open the provider."""
        async with self.provider.open(context) as handler:
            yield _ControlledTurns(handler, self.control, self.turn_log, self.dying)


@frozen
class _ControlledTurns:
    """The turns of the runner's provider; implements `agent_runner.providers.TurnHandler`."""

    handler: TurnHandler
    control: RunnerControl
    turn_log: TurnLog
    dying: Callable[[], bool]

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Run a turn and record it."""
        self.turn_log.homes.update(
            (turn.turn_id, each.address) for each in turn.messages[::-1] if each.address
        )
        self.turn_log.hear([*turn.context, *turn.messages])
        alone = any(message.tries for message in turn.messages)
        self.control.rests_since = None
        self.control.at_work.set()
        self.control.at_work = trio.Event()
        taken = list(turn.messages)
        try:
            with self.turn_log.of(turn.messages, self.dying):
                tools = _ControlledTools(tools, self.control, self.turn_log, taken, alone=alone)
                return await self.handler.run(turn, tools)
        except ProviderFatal:
            self.turn_log.given_up.update(message.id for message in taken)
            raise
        finally:
            self.control.rests_since = trio.current_time()


@frozen
class _ControlledTools:
    """A turn's tools; implements `agent_runner.providers.Toolbox`."""

    tools: Toolbox
    control: RunnerControl
    turn_log: TurnLog
    taken: list[Inbound]
    """The messages of the turn. Follow-ups are added."""
    alone: bool
    """True if no follow-ups can come to this turn."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The available tools."""
        return self.tools.specs

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Call a tool."""
        return await self.tools.call(name, arguments)

    async def follow_ups(self) -> Sequence[Inbound]:
        """Wait for follow-ups and record the wait."""
        self.control.listens_since = None if self.alone else trio.current_time()
        try:
            found = await self.tools.follow_ups()
            self.turn_log.hear(found)
            self.taken.extend(found)
            return found
        finally:
            self.control.listens_since = None

    def draft(self, text: str) -> None:
        """Show the text so far."""
        self.tools.draft(text)

    def alive(self) -> None:
        """Report that the provider makes progress."""
        self.tools.alive()


@define(eq=False)
class RunnerControls:
    """The controls of all runners of a world, by session."""

    clock: VirtualClock
    dying: Callable[[str], bool] = lambda _session: False
    """Returns whether a session's runner is about to end."""
    modelled: set[str] = Factory(set)
    """Sessions whose agent asks the world's model."""
    _controls: dict[str, list[RunnerControl]] = Factory(lambda: defaultdict(list))
    turn_log: TurnLog = field(init=False, default=Factory(lambda self: TurnLog(self.clock), takes_self=True))

    def wrap(self, spec: RunnerSpec, seams: Seams) -> Seams:
        """Add a control to the seams of a new runner."""
        control = RunnerControl(self.clock)
        self._controls[spec.session_id].append(control)
        if spec.provider == FAKE_MODEL:
            self.modelled.add(spec.session_id)
        own, dying = seams.executor, partial(self.dying, spec.session_id)
        executor = _ControlledExecutor(own, control, own.before_commit, own.after_commit)
        return evolve(
            seams,
            clock=control,
            executor=executor,
            provider=_ControlledProvider(seams.provider, control, self.turn_log, dying),
        )

    def of(self, session_id: str) -> RunnerControl | None:
        """Return the control of the session's last runner that has begun, or None."""
        return next(
            (control for control in reversed(self._controls.get(session_id, [])) if control.begun), None
        )

    @contextmanager
    def frozen(self, session_id: str) -> Iterator[None]:
        """Freeze the session's runner while the block runs; a new runner is not frozen."""
        controls = list(self._controls[session_id])
        for control in controls:
            control.freeze()
        try:
            yield
        finally:
            for control in controls:
                control.thaw()

    @contextmanager
    def slow(self, session_id: str, random: Random) -> Iterator[None]:
        """Slow down the session's runner while the block runs."""
        controls = list(self._controls[session_id])
        for control in controls:
            control.lag = random
        try:
            yield
        finally:
            for control in controls:
                control.lag = None

    def thaw(self) -> None:
        """Let all runners continue at full speed."""
        for controls in self._controls.values():
            for control in controls:
                control.thaw()
                control.lag = None
