"""The host: the whole tree of actors, as one async context manager for any trio program.

Scopes nest as in docs/architecture.md. So the exit closes the intakes first, finishes commits and deliveries
in flight, stops the runners, and closes the central database last.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from functools import partial

import structlog
from attrs import field, frozen

from actors import ActorError, Bury, Escalate, Node, Policy, Ref, Supervisor
from nanoclaw.approvals.desk import ApprovalDesk
from nanoclaw.approvals.kind import ApprovalKind
from nanoclaw.approvals.showing import CardSender
from nanoclaw.budgets import BudgetKeeper
from nanoclaw.budgets.limits import rules_of
from nanoclaw.channels.protocol import Channel, types_with_buttons, types_with_card_edits
from nanoclaw.channels.receivers import open_receivers
from nanoclaw.channels.senders import open_senders
from nanoclaw.channels.state import ChannelState, RegistryState, UsesState, sweep_state
from nanoclaw.config import Config
from nanoclaw.control import Control, default_control, open_control
from nanoclaw.dispatch import ActionHandler, Dispatcher
from nanoclaw.dispatch.agents import ToAgents
from nanoclaw.dispatch.chats import ToChats
from nanoclaw.dispatch.host_actions import ToHost
from nanoclaw.dispatch.outgoing import Outbox
from nanoclaw.gateway import Gateway, HttpServers, Proxy, PublicInternet, SiteKeeper, WebProxy, open_gateway
from nanoclaw.gateway.meter import Meter
from nanoclaw.host_effects import HostEffects
from nanoclaw.host_parts import HostFailed, Parts, Seams
from nanoclaw.host_status import HostStatus
from nanoclaw.operations import Admin, BadNoun, Caller, Catalogue, Ground, Operations, SessionFiles
from nanoclaw.operations.folders import make_agent_folder
from nanoclaw.operations.live import LivingSessions
from nanoclaw.recording import Record, Recorder, RecordingRefused
from nanoclaw.records import Address, Answering, Intake
from nanoclaw.records.status import HostReport, StatusSource
from nanoclaw.registry import INSTALL_ID, Bootstrap, Changes, Registry, registry_recipe, watch_lock
from nanoclaw.routing import Drops, EngagedThreads, HeldKeeper, QuestionDesk, Router, Shows, Strangers
from nanoclaw.runtimes import (
    Runtime,
    Served,
    isolates,
    kept_events,
    state_of,
    unwrapped,
    warn_of_runtime,
    why_refused,
)
from nanoclaw.session import AgentInbox, NoObserver, Presences, Services, Sessions, answering, open_sessions
from nanoclaw.session.owner_alerts import tell_owner
from nanoclaw.session.places import Places
from nanoclaw.session.resuming import resume_sessions
from nanoclaw.session.space import Space
from nanoclaw.store import OwnershipLost, Reader, StoreError, open_reader
from nanoclaw.store.central import meta
from nanoclaw.system.clock import Clock
from nanoclaw.system.clock_watch import watch_clock
from nanoclaw.system.foreign import ForeignError, foreign_code
from nanoclaw.system.supervision import Supervision, background
from nanoclaw.system.wakeups import Wakeups

__all__ = ["Host", "HostFailed", "Seams", "open_host"]

MAX_CHANNEL_TYPE = 1000
RETRY_BURIED_S = 60.0
"""Delay before the work of a runtime that keeps failing is tried again."""

_log = structlog.get_logger()


@frozen
class Host:
    """A running host, as embedders see it."""

    config: Config
    """The configuration that it runs with."""
    intake: Intake
    """Takes events of the embedding program, without a channel."""
    sessions: Sessions
    """The living sessions."""
    registry: Ref[Registry]
    """The actor that changes the central database."""
    central: Reader
    """Reads the central database: `await host.central.run(function_of_a_connection)`."""
    _root: Supervisor = field(repr=False)
    _ground: Ground = field(repr=False)
    answering: Callable[[Address], Awaitable[Sequence[Answering]]] = field(repr=False)
    """Returns the agents that answer in a chat; none if that cannot be read now."""
    _status: StatusSource = field(repr=False)
    _state: Callable[[str], ChannelState] = field(repr=False)

    @property
    def admin(self) -> Admin:
        """Every administrative operation as a typed call: `host.admin.<noun>.<verb>(...)` (docs/cli.md)."""
        return Admin.of(self._ground)

    def admin_as(self, user_id: str) -> Admin:
        """Return the operations for a user. Each call checks their rights, and may raise `Forbidden`."""
        return Admin.of(self._ground, Caller.user(user_id))

    async def status(self) -> HostReport:
        """Return what the host is doing, as `nanoclaw status` does. A session that hangs delays it by 1 s.

        Raises:
            CannotTell: the central database cannot be read now.
        """
        return await self._status.status()

    def channel_state(self, channel_type: str) -> ChannelState:
        """Return the state that a channel keeps, by its name. It need not be a channel of this host.

        Raises:
            ValueError: no channel can have this name.
        """
        if not isinstance(channel_type, str) or not 0 < len(channel_type) <= MAX_CHANNEL_TYPE:
            raise ValueError(f"channel_type must be text of 1 to {MAX_CHANNEL_TYPE:,} characters")
        return self._state(channel_type)

    def tree(self) -> Node:
        """Return the live tree of actors."""
        return self._root.tree()

    async def bootstrap(self, chat: Address, chat_name: str, *, owner_id: str, owner_name: str) -> bool:
        """Create an owner, an agent group, `chat` and its wiring. Return False if that was done before.

        Raises:
            HostFailed: the rows could not be stored.
        """
        name = self.config.prompt.assistant_name
        try:
            return await self.registry.ask(Bootstrap(owner_id, owner_name, name, "main", chat, chat_name))
        except (ActorError, StoreError) as error:
            raise HostFailed(_reason(error)) from error


@asynccontextmanager
async def open_host(  # noqa: PLR0913 -- the parts of a host, by name
    config: Config,
    *,
    channels: Sequence[Channel] = (),
    seams: Seams | None = None,
    control: Control | bool | None = None,
    record: Record | None = None,
    actions: Mapping[str, ActionHandler] | None = None,
    approval_kinds: Sequence[ApprovalKind] = (),
    begin_anew: bool = False,
) -> AsyncIterator[Host]:
    """Run the host while the context is open. Several hosts may run in one process, each on its own data.

    `control` opens the control socket, as `nanoclaw run` does, for commands such as `nanoclaw status`. True
    offers a `Terminal` among the channels, if there is one, and the log events of the process; a `Control`
    names the parts. If the socket cannot be created, the host logs that and runs on.

    `record` records the input at the seams, for `nanoclaw replay`. `actions` has, by name, the handlers of
    requests that agents may make to the host besides tasks. `approval_kinds` are kinds of approvals besides
    those that come with NanoClaw. `begin_anew` begins with an empty `v2.db` where
    that file is lost: the old files are moved to a folder beside the new ones.

    Raises:
        HostFailed: the host cannot start, or an essential part has given up. It is never in a group.
        BaseException: an exception of the body, unchanged.
    """
    parts = Parts.of(config, channels, seams or Seams(), actions or {}, approval_kinds, begin_anew=begin_anew)
    raised: BaseException | None = None
    try:
        async with (
            _offered(control, channels) as offered,
            _recording(record, channels, parts) as recorder,
            _tree(parts.recorded(recorder), offered) as host,
        ):
            try:
                yield host
            except BaseException as error:
                raised = error
                raise
    except (ActorError, BadNoun, StoreError, RecordingRefused, OSError) as error:
        if error is raised:
            raise
        raise HostFailed(_reason(error)) from error
    finally:
        del raised  # it holds this frame


def _offered(
    control: Control | bool | None,  # noqa: FBT001 -- as `open_host` takes it
    channels: Sequence[Channel],
) -> AbstractAsyncContextManager[Control | None]:
    """Return a context that yields the parts of the control socket, or None if there is to be no socket."""
    if isinstance(control, Control):
        return nullcontext(control)
    return default_control(channels) if control else nullcontext()


@asynccontextmanager
async def _recording(
    record: Record | None, channels: Sequence[Channel], parts: Parts
) -> AsyncIterator[Recorder | None]:
    """Open the recorder, if the host is recorded. It is closed after the host."""
    if record is None:
        yield None
        return
    executor = parts.seams.executor
    recorder = await Recorder.begin(record, parts.config, channels, executor, parts.seams.clock)
    try:
        yield recorder
    finally:
        await recorder.end(parts.config.data, executor)


def _reason(error: BaseException) -> str:
    """Return the text of the innermost cause. The errors of the actors only name the actor."""
    while isinstance(error, ActorError) and error.__cause__ is not None:
        error = error.__cause__
    return str(error)


@asynccontextmanager
async def _tree(parts: Parts, control: Control | None) -> AsyncIterator[Host]:
    """Open the tree of actors. The stack closes it in reverse order."""
    config, channels, recorder = parts.config, parts.channels, parts.recorder
    supervision = Supervision(parts.seams.random)
    async with AsyncExitStack() as stack:
        wakeups = stack.enter_context(parts.seams.wakeups())
        root = await stack.enter_async_context(supervision.open("host", under=None, policy=_ESSENTIAL))
        services = await _services(parts, wakeups, supervision, root, stack)
        living = await stack.enter_async_context(
            open_sessions(services, partial(_dispatcher, services, parts.actions), supervision, under=root)
        )
        # Under a supervisor of its own, which stops before the sessions that it uses.
        start_up = await stack.enter_async_context(
            supervision.open("start-up", under=root, policy=_ESSENTIAL)
        )
        start_up.start("resume", background(partial(resume_sessions, services, living)))
        start_up.start("owner-alerts", background(partial(tell_owner, services, living)))
        start_up.start("questions", background(_question_desk(services, living).run))
        drops = Drops(services.registry, services.clock)
        root.start("drops", drops.recipe)
        router = await _router(services, living, channels, root, drops)
        desk = _approval_desk(parts, services, living, router)
        start_up.start("approvals", background(desk.run))
        start_up.start("held", background(_held_keeper(services, router).run))
        await stack.enter_async_context(open_receivers(channels, router, supervision, under=root))
        if config.zone_doubt is not None:
            _log.warning("host.zone_doubtful", reason=config.zone_doubt)
        ground = _ground(parts, services, living, drops)
        status = HostStatus(
            root,
            living,
            services.central,
            config,
            services.clock,
            parts.runtime.name,
            router.refused.lines,
            config.zone_doubt,
            services.budgets.remarks,
            partial(state_of, unwrapped(parts.runtime)),
            services.gateway.remarks,
            lambda: services.space.remark,
            desk.remarks,
        )
        if control is not None:
            operations = Operations(Catalogue.installed(), ground)
            await stack.enter_async_context(
                open_control(
                    config.data,
                    control,
                    status,
                    supervision,
                    under=root,
                    operations=operations,
                    output=partial(kept_events, unwrapped(parts.runtime)),
                )
            )
        if parts.seams.runtime is None:
            warn_of_runtime(config)
        _log.info("host.ready", data=str(config.data), runtime=parts.runtime.name)
        intake = router if recorder is None else recorder.intake(router)
        state = partial(
            RegistryState, central=services.central, registry=services.registry, clock=services.clock
        )
        who = partial(answering, services.central, services.executor, config)
        try:
            yield Host(
                config, intake, living, ground.registry, ground.central, root, ground, who, status, state
            )
        finally:
            _log.info("host.stopping")
            if recorder is not None:
                recorder.stopping()


async def _services(
    parts: Parts, wakeups: Wakeups, supervision: Supervision, root: Supervisor, stack: AsyncExitStack
) -> Services:
    """Start the actors that sessions need, and return them with the seams. `stack` closes what is opened."""
    config, seams, recorder, changes = parts.config, parts.seams, parts.recorder, Changes()
    executor, clock, random = seams.executor, seams.clock, seams.random
    registry = root.start(
        "registry",
        registry_recipe(
            config.data, executor, clock, random, changes, parts.approvals, begin_anew=parts.begin_anew
        ),
    )
    await registry.wait_started()
    root.start("lock", background(partial(watch_lock, registry, config.runtime.slow_poll_s)))
    central = await stack.enter_async_context(open_reader(config.data / "v2.db", executor, random=random))
    if recorder is not None:
        await recorder.keep_state(config, central, executor)
        root.start("recording", background(recorder.writer.run))
    _hand_state(parts.channels, central, registry, clock)
    senders = await stack.enter_async_context(open_senders(parts.channels, supervision, under=root))
    runtimes = await stack.enter_async_context(
        supervision.open("runtimes", under=root, policy=Policy(give_up=Bury(RETRY_BURIED_S)))
    )
    await _serve_runtime(unwrapped(parts.runtime), central, runtimes)
    root.start("wakeups", background(wakeups.run))
    # Those who follow the central database check all their state. A jump of the date needs the same.
    root.start("channel-state", background(partial(sweep_state, central, registry, changes, clock)))
    root.start("clock", background(partial(watch_clock, clock, partial(_tell_of_jump, changes))))
    presences = Presences(registry)
    root.start("presence", presences.recipe)
    budgets = BudgetKeeper(registry, central, changes, clock, config)
    await root.start("budgets", budgets.recipe).wait_started()
    space = Space(config, executor, clock, enabled=isolates(parts.runtime))
    root.start("space", background(space.run))
    # A replay has no sandboxes that ask.
    asked = registry if recorder is None else recorder.registry(registry)
    sites = SiteKeeper(asked, central, changes)
    gateway = await stack.enter_async_context(_gateway(seams, budgets, sites, supervision, root))
    return Services(
        config=config,
        executor=executor,
        clock=clock,
        random=random,
        central=central,
        registry=registry,
        changes=changes,
        senders=senders,
        runtime=parts.runtime,
        wakeups=wakeups,
        presences=presences,
        gateway=gateway,
        budgets=budgets,
        space=space,
        places=Places(config.sandbox.max_running if isolates(parts.runtime) else None),
        observer=NoObserver() if recorder is None else recorder.observer(),
    )


def _hand_state(
    channels: Mapping[str, Channel], central: Reader, registry: Ref[Registry], clock: Clock
) -> None:
    """Give their state to the channels that keep some. Raise HostFailed if one cannot take it."""
    for name, channel in channels.items():
        if isinstance(channel, UsesState):
            try:
                with foreign_code():
                    channel.use_state(RegistryState(name, central, registry, clock))
            except ForeignError as error:
                raise HostFailed(
                    f"the channel {name} cannot be used: its use_state() failed: {error}"
                ) from error


async def _serve_runtime(runtime: Runtime, central: Reader, under: Supervisor) -> None:
    """Start the work of the runtime that is its own, if it has any. It stops after all sessions."""
    if isinstance(runtime, Served):
        install_id = await central.run(lambda connection: meta.get(connection, INSTALL_ID))
        under.start(runtime.name, background(partial(runtime.serve, install_id or "")))


@asynccontextmanager
async def _gateway(
    seams: Seams, meter: Meter, sites: SiteKeeper, supervision: Supervision, root: Supervisor
) -> AsyncIterator[Gateway]:
    """Open the gateway, with connections of its own to the servers of models unless the seams have others."""
    own = HttpServers()
    proxy = Proxy(own if seams.models is None else seams.models, meter)
    web = WebProxy(sites, PublicInternet() if seams.internet is None else seams.internet)
    try:
        async with open_gateway(proxy, supervision, under=root, doors=seams.doors, web=web) as gateway:
            yield gateway
    finally:
        await own.aclose()


def _tell_of_jump(changes: Changes) -> None:
    changes.tell_budgets()
    changes.tell_questions()
    changes.tell_state()
    changes.tell_all()


async def _router(
    services: Services, living: Sessions, channels: Mapping[str, Channel], root: Supervisor, drops: Drops
) -> Router:
    """Return the intake of all channels, once it knows in which threads agents are engaged."""
    central, registry = services.central, services.registry
    engaged = EngagedThreads(registry, central, services.clock)
    await root.start("engaged-threads", engaged.recipe).wait_started()
    return Router(
        central,
        registry,
        services.changes,
        living,
        engaged,
        partial(services.executor.run, lane="match"),
        services.clock,
        drops,
        Strangers(registry, services.config.approvals.held_messages),
        Shows(types_with_buttons(channels.values()), types_with_card_edits(channels.values())),
    )


def _question_desk(services: Services, living: Sessions) -> QuestionDesk:
    return QuestionDesk(
        services.central, services.registry, services.changes, living, services.senders, services.clock
    )


def _held_keeper(services: Services, router: Router) -> HeldKeeper:
    held_s = services.config.approvals.held_s
    clock, changes = services.clock, services.changes
    return HeldKeeper(router, services.registry, services.central, changes, clock, held_s)


def _approval_desk(parts: Parts, services: Services, living: Sessions, router: Router) -> ApprovalDesk:
    """Return the worker of approvals."""
    config, registry, clock = services.config, services.registry, services.clock
    cards = CardSender(registry, services.senders, clock, config.delivery.backoff_s, config.timezone)
    return ApprovalDesk(
        services.central,
        registry,
        services.changes,
        clock,
        services.senders,
        living,
        parts.approvals,
        HostEffects(services, living, parts.installation, router.deliver_held),
        cards,
    )


def _ground(parts: Parts, services: Services, living: Sessions, drops: Drops) -> Ground:
    """Return the parts that the administrative operations work on. A recorder notes their changes."""
    config, recorder, registry = parts.config, parts.recorder, services.registry
    return Ground(
        registry=registry if recorder is None else recorder.registry(registry),
        central=services.central,
        sessions=LivingSessions(living),
        files=SessionFiles(config.data, services.executor, services.central, services.clock.now),
        make_agent_folder=partial(make_agent_folder, config.groups),
        now=services.clock.now,
        zone=config.timezone,
        rules=rules_of(config),
        write_usage=services.budgets.write,
        write_drops=drops.write,
        refusal=partial(why_refused, parts.runtime),
    )


def _dispatcher(services: Services, actions: Mapping[str, ActionHandler], inbox: AgentInbox) -> Dispatcher:
    """Return the dispatcher of all sessions."""
    central, registry, clock = services.central, services.registry, services.clock
    outbox = Outbox(services.config, services.executor)
    return Dispatcher(
        ToChats(central, registry, services.senders, outbox, clock),
        ToAgents(central, registry, inbox, outbox, clock),
        ToHost(registry, actions, clock),
        clock,
    )


_ESSENTIAL = Policy(give_up=Escalate(), fatal=(StoreError, OwnershipLost))
"""The policy of parts that the host cannot run without."""
