"""A world: the real host and the real runner with users, chats and agents, in virtual time or in real time.

    async def test_the_agent_answers(world):
        ann = world.user("ann")
        chat = await world.direct(ann)
        await ann.says("hello")
        await chat.expect("echo: hello")

A simulated world replaces all five seams; SQL and SQLite are real. Nothing runs in a thread: virtual time
jumps whenever every task waits, and it would jump past a thread's work.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import trio
from attrs import Factory, define, field

from agent_runner.providers import Provider
from nanoclaw.approvals.kind import ApprovalKind
from nanoclaw.channels.protocol import Channel
from nanoclaw.config import Config, config_of, flat
from nanoclaw.config.costs import NO_BUDGETS
from nanoclaw.dispatch import ActionHandler
from nanoclaw.gateway import ModelServers
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.recording import Record
from nanoclaw.records import Address, Outgoing, Receipt, Role, UnknownSenderPolicy, Wiring
from nanoclaw.runtimes import Runtime
from nanoclaw.testing.error_summary import summary_of
from nanoclaw.testing.models import Answers, FakeModel
from nanoclaw.testing.models.model import FAKE_MODEL
from nanoclaw.testing.world.agents import Agent, Agents
from nanoclaw.testing.world.channel import DM, FakeChannel
from nanoclaw.testing.world.chats import Chat, User
from nanoclaw.testing.world.determinism import scheduled_by, virtual_time
from nanoclaw.testing.world.environment import Environment, RealEnvironment, SimulatedEnvironment
from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.executor import CommitHook, InlineExecutor
from nanoclaw.testing.world.folders import nth_world, temporary_home
from nanoclaw.testing.world.gateway import NoModels
from nanoclaw.testing.world.host_run import HostRun, HostRuns
from nanoclaw.testing.world.isolation import Isolation, NotSimulated
from nanoclaw.testing.world.kill_switch import KillableChannel, KillSwitch
from nanoclaw.testing.world.models import SETTINGS, fake_model_provider
from nanoclaw.testing.world.runtime import SimulatedRuntime
from nanoclaw.testing.world.scripted_provider import Brain
from nanoclaw.testing.world.standstill import Standstill, watched
from nanoclaw.testing.world.time_limit import LIMIT_DAYS, too_late
from nanoclaw.testing.world.timeline import Timeline
from nanoclaw.testing.world.transcript import Entry, Kind, heard
from nanoclaw.testing.world.virtual_time import VirtualClock
from nanoclaw.testing.world.wiring import admit, grant, link, remove, revoke, wire

PATIENCE_S = 600.0
REAL_PATIENCE_S = 10.0
RARELY_S = 3600.0
"""Seconds between polls. No wake-up is lost in a simulation, so polls find nothing."""
SIMULATED_ONLY = ("providers", "outliving", "commit_hooks", "model")
TIMING = ("httpx2",)
"""Packages that measure their calls by the real clock and decide nothing by it."""
SHOWN_LINES = 30
"""The number of events that a failed test shows."""


def _checked(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    config_of(Path("/"), settings)
    return flat(settings)


@define(eq=False, kw_only=True)
class World:
    """A simulated world: an async context manager. The host starts at its first use, or with `start`."""

    seed: int = 0
    real: bool = False
    """Use threads, the real clock and child processes; brains are then providers by name."""
    folder: Path | None = None
    """The folder for the world's files, which another world may continue. None: a temporary one in memory."""
    channel: FakeChannel = field(factory=FakeChannel)
    """The network of its users."""
    channels: Sequence[Channel] = ()
    """Additional channels of the host, such as a channel under test."""
    settings: Mapping[str, Any] = field(factory=dict, converter=_checked)
    """The configuration, by whole keys such as `retry.base_s`. ConfigError for what its file may not have."""
    providers: dict[str, Callable[[], Provider]] = field(factory=dict)
    model: FakeModel | Answers | None = None
    """The model behind the gateway: a FakeModel, or its answers. An agent without a brain then asks it."""
    actions: Mapping[str, ActionHandler] = field(factory=dict)
    """Requests that the host performs, by name, as `open_host` takes them."""
    approval_kinds: Sequence[ApprovalKind] = ()
    """Kinds of approvals besides those of NanoClaw, as `open_host` takes them."""
    allowed: Sequence[str] = ()
    """Packages that may use the real clock, threads and the like in a simulated world."""
    outliving: bool = False
    """True if runners outlive a host that is killed, as containers do."""
    commit_hooks: list[CommitHook] = field(factory=list)
    """Called at each commit point of host and runners to inject faults. They may call `kill_host_now`."""
    seams: Callable[[Seams], Seams] = field(default=lambda seams: seams)
    """Returns the seams for each run of the host, given the usual ones."""
    wrap_channel: Callable[[Channel], Channel] = field(default=lambda channel: channel)
    """Returns the channel that the host gets in place of the given one, such as a misbehaving one."""
    limit_days: float = LIMIT_DAYS
    """Virtual days after which the world ends with a WorldError that names the waiting lines."""
    timeline: Timeline = field(factory=Timeline)
    random: Random = field(init=False)
    """The seeded random numbers of host, runners and scenario."""
    home: Path = field(init=False)
    isolation: Isolation = field(init=False)
    """The guards against real clocks, threads and so on; `refused` lists their refusals."""
    chats: dict[tuple[str, str], Chat] = field(factory=dict, init=False)
    _agents: Agents = field(
        init=False,
        default=Factory(lambda self: Agents(self.providers, self.real, self._brain()), takes_self=True),
    )
    _runs: HostRuns = field(
        init=False, default=Factory(lambda self: HostRuns(self.timeline), takes_self=True)
    )
    _environment: Environment = field(init=False)
    _entered: bool = field(default=False, init=False)
    _stack: AsyncExitStack | None = field(default=None, init=False)
    """Set while the world is open."""
    _nursery: trio.Nursery = field(init=False)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise WorldError(f"World(seed={self.seed!r}): seed must be an int")
        if not self.limit_days > 0:
            raise WorldError(f"World(limit_days={self.limit_days!r}): limit_days must be more than 0")
        for name, provider in self.providers.items():
            if not callable(provider):
                raise WorldError(
                    f"World(providers=…): {name!r} must be a function that makes a provider, got {provider!r}"
                )
        if self.model is not None:
            self.providers.setdefault(FAKE_MODEL, fake_model_provider)

    # -- enter and exit

    async def __aenter__(self) -> Self:
        if self._entered:
            raise WorldError("a world can be entered only once; make another World")
        self._entered = True
        async with AsyncExitStack() as stack:
            self.home = self.folder or stack.enter_context(temporary_home())
            if self.folder is not None:
                self.channel.nth = max(self.channel.nth, nth_world(self.folder))
            self.random = Random(self.seed)  # noqa: S311 -- a simulation has no secrets
            self.timeline.began = trio.current_time() if self.real else 0.0
            self.timeline.steps.append(self._agents.note)
            self._environment = self._in_real_time() if self.real else await self._simulated(stack)
            for network in self._networks():
                network.on_delivery = self._delivered
            self._nursery = await stack.enter_async_context(trio.open_nursery())
            self.timeline.when_broken = self._nursery.cancel_scope.cancel
            if not self.real:
                stack.callback((await self._nursery.start(self._limit)).cancel)
            stack.push_async_callback(self.stop)
            self._stack = stack.pop_all()
        return self

    async def _limit(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            self.timeline.broke(await too_late(self.limit_days))

    def _in_real_time(self) -> RealEnvironment:
        if unfit := [name for name in SIMULATED_ONLY if getattr(self, name)]:
            raise WorldError(f"World(real=True) cannot take {' and '.join(unfit)}: its runners are processes")
        return RealEnvironment(self.timeline)

    async def _simulated(self, stack: AsyncExitStack) -> SimulatedEnvironment:
        stack.enter_context(virtual_time())
        order = stack.enter_context(scheduled_by(self.seed))
        self.isolation = Isolation(lambda: self.now, frozenset({*self.allowed, *TIMING}))
        stack.callback(self.isolation.check)
        stack.enter_context(self.isolation.up())
        environment = SimulatedEnvironment(
            self.home, self.random, self.timeline, self.providers, self.commit_hooks, self._models()
        )
        stack.callback(environment.executor.check)
        stack.enter_context(watched(order, lambda standstill: self._end(environment, standstill)))
        if self.outliving:
            await stack.enter_async_context(environment.runtime.outliving())
        return environment

    def _brain(self) -> str:
        return "echo" if self.model is None else FAKE_MODEL

    def _models(self) -> ModelServers:
        if self.model is None:
            return NoModels()
        return self.model if isinstance(self.model, FakeModel) else FakeModel(self.model)

    def _end(self, environment: SimulatedEnvironment, standstill: Standstill) -> None:
        environment.executor.stand_still(standstill)
        self._nursery.cancel_scope.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        assert stack is not None, "it was entered"  # noqa: S101 -- for the type checker
        if isinstance(error, Exception):  # raised outside the nursery, which would wrap it
            if not self.real:
                self.isolation.mention(error)
            self._mention_broken(error)
            with suppress(NotSimulated):  # a refusal may be the cause, unless the error reports it already
                await stack.__aexit__(None, None, None)
            return
        try:
            await stack.__aexit__(kind, error, trace)
        finally:
            self.timeline.check()

    def _mention_broken(self, error: Exception) -> None:
        broken = self.timeline.broken
        if broken is not None and broken is not error:
            error.add_note(
                f"before, a step of the timeline or a hook at a commit raised {summary_of(broken)}"
            )

    # -- runs of the host

    @property
    def host(self) -> Host:
        """The running host. Raises WorldError if none runs, or if it failed."""
        return self._runs.host

    @property
    def host_lives(self) -> bool:
        """True if a host runs, starts or stops, so that it can be killed."""
        return self._runs.lives

    def config(self, **changes: Any) -> Config:
        """Return the configuration of this world, with changes. Raises ConfigError for invalid changes."""
        polls = {} if self.real else {"runtime.slow_poll_s": RARELY_S}
        settings: dict[str, Any] = {
            "timezone": "UTC",
            **NO_BUDGETS,
            **({} if self.model is None else SETTINGS),
            **polls,
            **self.settings,
            **_checked(changes),
        }
        return config_of(self.home, settings)

    async def start(
        self,
        *,
        channels: Sequence[Channel] | None = None,
        runtime: Runtime | None = None,
        record: Record | None = None,
        **changes: Any,
    ) -> Host:
        """Start the host, with changes of its configuration for this run. The run may be recorded.

        Raises:
            WorldError: the host runs already, or the world is not open.
            ConfigError: the changes are invalid.
            HostFailed: the host cannot start.
        """
        if self._stack is None:
            raise WorldError("the world is not open; use `async with World(...) as world`")
        if self._runs.lives:
            raise WorldError("the host is already running")
        used = (self.channel, *self.channels) if channels is None else channels
        switch = KillSwitch()
        config = self.config(**changes)
        self._agents.max_tries = config.retry.max_tries
        seams = self.seams(self._environment.seams(switch, runtime, config))
        mortal = [KillableChannel(self.wrap_channel(one), switch) for one in used]
        return await self._runs.start(
            self._nursery,
            HostRun(config.data, switch),
            lambda: open_host(
                config,
                channels=mortal,
                seams=seams,
                record=record,
                actions=self.actions,
                approval_kinds=self.approval_kinds,
            ),
        )

    async def stop(self) -> None:
        """Stop the host gracefully, if it runs.

        Raises:
            HostFailed: it had failed.
        """
        await self._runs.stop()

    async def ended(self) -> Exception | None:
        """Wait until the host has ended for any reason; return the error that ended it, if any."""
        return await self._runs.ended()

    async def restart(self, **changes: Any) -> Host:
        """Stop the host gracefully, and start it again."""
        await self.stop()
        return await self.start(**changes)

    @asynccontextmanager
    async def life(
        self, *channels: Channel, runtime: Runtime | None = None, **changes: Any
    ) -> AsyncIterator[Host]:
        """Run the host for the block, with these channels instead of the world's."""
        host = await self.start(channels=channels, runtime=runtime, **changes)
        try:
            yield host
        finally:
            with trio.CancelScope(shield=True):
                await self.stop()

    async def kill_host(self) -> None:
        """Kill the host, as `kill -9` would, and wait until its tasks have ended (docs/simulation.md)."""
        run = self._runs.last
        self.kill_host_now()
        if run is not None:
            await run.ended.wait()

    def kill_host_now(self) -> None:
        """Kill the host from a hook. Nothing that it does afterwards has an effect."""
        environment = self._environment
        if not isinstance(environment, SimulatedEnvironment):
            raise WorldError("the host of World(real=True) cannot be killed: it runs in this process")
        if self._runs.kill():
            environment.host_died()
            self.timeline.add("host killed")

    def kill_runner(self, session_id: str | None = None) -> None:
        """Kill a session's runner, or one drawn by the seed. Do nothing if no such runner is alive."""
        runners = self._environment.runners
        victims = list(runners) if session_id is None else [id_ for id_ in runners if id_ == session_id]
        if victims:
            runners[self.random.choice(victims)].kill()

    # -- time

    @property
    def now(self) -> datetime:
        """The current date in this world."""
        return self._environment.clock.now()

    @property
    def patience_s(self) -> float:
        """Default seconds that an expectation waits."""
        return REAL_PATIENCE_S if self.real else PATIENCE_S

    async def sleep(
        self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """Sleep. Virtual time takes no real time."""
        await trio.sleep(seconds + 60 * (minutes + 60 * (hours + 24 * days)))

    # -- users, chats and agents

    def user(self, name: str, on: FakeChannel | None = None) -> User:
        """Return a user with the id `<channel_type>:<name>`, of the network `on`, or of the world's own."""
        return User(self, name, f"{(on or self.channel).channel_type}:{name}")

    def agent(self, folder: str = "main", brain: str | Brain | None = None) -> Agent:
        """Return an agent; its brain is a function, a script, or a runner's provider by name.

        Without one it is `echo`, or `fake-model` in a world with a model.

        A second call for the same folder returns the same agent, without a brain or with its own.

        Raises:
            WorldError: the agent has another brain, or the world is real and the brain is not a name.
        """
        return self._agents.agent(folder, brain)

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents by folder."""
        return self._agents.by_folder

    @property
    def raised(self) -> Sequence[str]:
        """Sentences about the errors that brains raised. Their messages are tried again."""
        return self._agents.raised

    def chat(self, user: User) -> Chat:
        """Return the chat of one user with the agent. Raises WorldError if a group has their name."""
        return self._chat(_own_address(user), user.platform_id, [user], is_group=False)

    def group(self, name: str, users: Sequence[User], on: FakeChannel | None = None) -> Chat:
        """Return a group chat of the network `on`, or of the world's own.

        Raises:
            WorldError: a user's own chat has that name, or the group exists with other members.
        """
        return self._chat(Address((on or self.channel).channel_type, name), name, users, is_group=True)

    def inbox(self, user: User) -> Chat:
        """Return the direct chat in which a user gets cards: their own one, else the one that hosts open."""
        own = self.chats.get(_key(_own_address(user)))
        return own if own is not None and not own.is_group else self._opened(user)

    def _opened(self, user: User) -> Chat:
        address = Address(_own_address(user).channel_type, f"{DM}{user.platform_id}")
        return self._chat(address, address.platform_id, [user], is_group=False)

    def _chat(self, address: Address, name: str, users: Sequence[User], *, is_group: bool) -> Chat:
        made = Chat(self, name, address, tuple(users), is_group)
        found = self.chats.setdefault(_key(address), made)
        if found.is_group != is_group:
            raise WorldError(
                f"a user's own chat and a group cannot both be called {name!r}: rename one of them"
            )
        if (members := found.member_ids) != made.member_ids:
            raise WorldError(
                f"the group {name!r} already exists, with {', '.join(sorted(members)) or 'nobody'}; "
                "name all its members where you first make it"
            )
        return found

    async def wire(
        self,
        chat: Chat,
        agent: Agent | str = "main",
        *,
        policy: UnknownSenderPolicy | None = None,
        **wiring: Any,
    ) -> Wiring:
        """Let an agent listen to a chat; `wiring` as for `host.admin.wirings.connect`.

        An existing wiring gets the settings that are named, and keeps the others. A new chat is public
        without a `policy`; an existing one keeps its own.

        Raises:
            WorldError: the host does not run.
            OperationRefused, StoreError: the errors of `connect`.
        """
        admin = (await self._running()).admin
        made = agent if isinstance(agent, Agent) else self.agent(agent)
        return await wire(admin, chat, made, policy, wiring)

    async def direct(self, user: User, agent: Agent | str = "main", **wiring: Any) -> Chat:
        """Return a user's own chat, wired."""
        chat = self.chat(user)
        await self.wire(chat, agent, **wiring)
        return chat

    async def grant(self, user: User, role: Role, agent: Agent | str | None = None) -> None:
        """Make a user an owner or admin, of everything or of one agent."""
        await grant((await self._running()).admin, user, role, agent)

    async def admit(self, user: User, agent: Agent | str = "main") -> None:
        """Make a user a member of an agent."""
        await admit((await self._running()).admin, user, agent)

    async def revoke(self, user: User, role: Role, agent: Agent | str | None = None) -> None:
        """Take a right from a user. Others that the user has stay."""
        await revoke((await self._running()).admin, user, role, agent)

    async def remove(self, user: User, agent: Agent | str = "main") -> None:
        """End a user's membership of an agent."""
        await remove((await self._running()).admin, user, agent)

    async def link(self, user: User, other: User) -> None:
        """Link two identities of one person. Rights count for both."""
        await link((await self._running()).admin, user, other)

    async def _running(self) -> Host:
        return await self.start() if self._runs.last is None else self._runs.host

    # -- internals; simulated worlds only

    @property
    def executor(self) -> InlineExecutor:
        """The executor of the stores, with their commit points."""
        return self._simulation("has no executor with commit points: its stores use threads").executor

    @property
    def runtime(self) -> SimulatedRuntime:
        """The runtime of the runners."""
        return self._simulation("has no simulated runtime: its runners are processes").runtime

    @property
    def clock(self) -> VirtualClock:
        """The clock, whose date can jump."""
        return self._simulation("has no virtual clock: its date is the machine's").clock

    def _simulation(self, otherwise: str) -> SimulatedEnvironment:
        if not isinstance(self._environment, SimulatedEnvironment):
            raise WorldError(f"World(real=True) {otherwise}")
        return self._environment

    # -- for users and chats

    def _networks(self) -> Sequence[FakeChannel]:
        others = [
            each for each in self.channels if isinstance(each, FakeChannel) and each.on_delivery is None
        ]
        return (self.channel, *others)

    def network(self, channel_type: str) -> FakeChannel:
        """Return the network of that type: the world's own, or one of `channels`.

        Raises:
            WorldError: there is none.
        """
        for each in (self.channel, *self.channels):
            if isinstance(each, FakeChannel) and each.channel_type == channel_type:
                return each
        raise WorldError(f"the world has no network {channel_type!r}: pass its FakeChannel in channels=")

    def own_chat(self, user: User) -> Chat:
        """Return the chat of one user with the agent. Raises WorldError if there is none."""
        chat = self.chats.get(_key(_own_address(user)))
        if chat is None or chat.is_group:
            raise WorldError(f"{user.name} has no chat of their own: `await world.direct({user.name})`")
        return chat

    def said(self, chat: Chat, user: User, text: str, files: Mapping[str, bytes]) -> Entry:
        """Add a user's message to the transcript."""
        id_ = self.channel.new_id("event")
        entry = Entry(self.now, user.name, text, id=id_, thread=chat.address.thread_id, files=files)
        chat.log.add(entry)
        self.timeline.add("said", chat.name, user.name, id_, repr(text))
        return entry

    def clicked(self, chat: Chat, user: User, card: Entry, label: str) -> Entry:
        """Add a user's click to the transcript."""
        id_ = self.channel.new_id("click")
        entry = Entry(self.now, user.name, label, "click", id=id_, about=card.id, thread=card.thread)
        chat.log.add(entry)
        self.timeline.add("clicked", chat.name, user.name, id_, repr(label))
        return entry

    def did(self, chat: Chat, who: str, kind: Kind, text: str, about: str | None = None) -> Entry:
        """Add any other action of a user, or a program's webhook, to the transcript."""
        id_ = self.channel.new_id(kind)
        entry = Entry(self.now, who, text, kind, id=id_, about=about, thread=chat.address.thread_id)
        chat.log.add(entry)
        self.timeline.add(kind, chat.name, who, id_, repr(text))
        return entry

    def dropped(self, chat: Chat, entry: Entry, reason: str) -> None:
        """Record that the host dropped what a user or a program did."""
        chat.log.drop(entry, reason)
        if entry.kind != "message":
            self.timeline.add(f"{entry.kind} dropped", chat.name, entry.id, reason)

    def _delivered(self, outgoing: Outgoing, receipt: Receipt) -> None:
        address, id_ = outgoing.address, receipt.platform_message_id
        entry = heard(outgoing, self.now, "agent", id_)
        if address.platform_id.startswith(DM):
            self._opened(
                User(self, name := address.platform_id.removeprefix(DM), f"{address.channel_type}:{name}")
            )
        chat = self.chats.get(_key(address))
        if chat is not None:
            chat.log.add(entry)
        key, text = outgoing.message_out_id, repr(entry.text)
        self.timeline.add("delivered", address.platform_id, entry.kind, id_, key, text)

    def report(self) -> str:
        """Return a report for a failed expectation: the errors of brains, and the last events.

        The commits are left out, because there are many. They are in `timeline.text()`.
        """
        events = self.timeline.events()
        last = events[-SHOWN_LINES:]
        shown = (
            f"the timeline (the last {len(last)} of {len(events)} events, without commits; seed {self.seed}):"
        )
        return "\n".join([*self._agents.report(), shown, *last, *self._runs.report()])


def _key(address: Address) -> tuple[str, str]:
    return address.channel_type, address.platform_id


def _own_address(user: User) -> Address:
    """Return the address of a user's own chat, which is named like the user."""
    channel_type, _, name = user.id.partition(":")
    return Address(channel_type, name)
