"""The host: the whole tree of actors, as one async context manager for any trio program.

Scopes nest as in docs/architecture.md. So the exit closes the intakes first, finishes commits and deliveries
in flight, stops the runners, and closes the central database last.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from functools import partial
from inspect import iscoroutinefunction
from random import Random

import structlog
import trio
from attrs import Factory, evolve, field, frozen

from actors import (
    ActorError,
    Context,
    Escalate,
    Node,
    Policy,
    Ref,
    Supervisor,
)
from nanoclaw.channels.faults import faults
from nanoclaw.channels.protocol import Channel, types_with_buttons
from nanoclaw.channels.receivers import open_receivers
from nanoclaw.channels.senders import open_senders
from nanoclaw.config import Config, ConfigError
from nanoclaw.control import Control, default_control, open_control
from nanoclaw.dispatch import ActionHandler, Dispatcher
from nanoclaw.dispatch.agents import ToAgents
from nanoclaw.dispatch.chats import ToChats
from nanoclaw.dispatch.host_actions import ToHost
from nanoclaw.dispatch.outgoing import Outbox
from nanoclaw.host_status import HostStatus
from nanoclaw.operations import Admin, BadNoun, Caller, Catalogue, Ground, Operations, SessionFiles
from nanoclaw.operations.folders import make_agent_folder
from nanoclaw.operations.live import LivingSessions
from nanoclaw.recording import Record, Recorder, RecordingRefused
from nanoclaw.records import AGENT, Address, Answering, Intake
from nanoclaw.records.status import HostReport, StatusSource
from nanoclaw.registry import Bootstrap, Changes, Registry, registry_recipe
from nanoclaw.routing import Router
from nanoclaw.runtimes import (
    Runtime,
    StartFailed,
    configured_runtime,
    require_provider,
    warn_of_runtime,
    why_refused,
)
from nanoclaw.session import (
    AgentInbox,
    NoObserver,
    Presences,
    Services,
    Sessions,
    answering,
    every_conversation,
    open_conversations,
    open_sessions,
)
from nanoclaw.session.actions import LOCAL_ACTIONS
from nanoclaw.session.conversations import Conversations
from nanoclaw.store import (
    Connection,
    Executor,
    Reader,
    StoreError,
    StoreUnavailable,
    ThreadExecutor,
    open_reader,
)
from nanoclaw.system.clock import Clock, SystemClock
from nanoclaw.system.clock_watch import watch_clock
from nanoclaw.system.foreign import ForeignError, foreign_code, text_of
from nanoclaw.system.supervision import Supervision
from nanoclaw.system.wakeups import Wakeups, open_wakeups

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Bounds of the delay before a failed read of the sessions is retried."""

_log = structlog.get_logger()


class HostFailed(Exception):
    """The host cannot run. The text says what is wrong and what to do."""


@frozen
class Seams:
    """The five seams, and the wake-ups that belong to the executor. The defaults are for production."""

    executor: Executor = Factory(ThreadExecutor)
    """Runs calls of the store."""
    clock: Clock = Factory(SystemClock)
    """The date, and its jumps."""
    random: Random = Factory(secrets.SystemRandom)
    """The source of ids and jitter."""
    runtime: Runtime | None = None
    """None stands for the configured runtime."""
    wakeups: Callable[[], AbstractContextManager[Wakeups]] = open_wakeups
    """Opens the source of wake-ups by commits."""


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
    begin_anew: bool = False,
) -> AsyncIterator[Host]:
    """Run the host while the context is open. Several hosts may run in one process, each on its own data.

    `control` opens the control socket, as `nanoclaw run` does, for commands such as `nanoclaw status`. True
    offers a `Terminal` among the channels, if there is one, and the log events of the process; a `Control`
    names the parts. If the socket cannot be created, the host logs that and runs on.

    `record` records the input at the seams, for `nanoclaw replay`. `actions` has, by name, the handlers of
    requests that agents may make to the host besides tasks. `begin_anew` begins with an empty `v2.db` where
    that file is lost: the old files are moved to a folder beside the new ones.

    Raises:
        HostFailed: the host cannot start, or an essential part has given up. It is never in a group.
        BaseException: an exception of the body, unchanged.
    """
    seams = seams or Seams()
    runtime = _runtime(seams.runtime, config)
    by_type, actions = _by_type(channels), dict(actions or {})
    _check_actions(actions)
    raised: BaseException | None = None
    try:
        async with (
            _offered(control, channels) as offered,
            _recording(record, config, channels, seams) as recorder,
            _tree(config, by_type, seams, runtime, offered, recorder, actions, begin_anew) as host,
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


def _runtime(given: Runtime | None, config: Config) -> Runtime:
    """Return the given or configured runtime. It must be able to run the configured provider."""
    try:
        runtime = given or configured_runtime(config)
        require_provider(config, runtime)
    except ConfigError as error:
        raise HostFailed(str(error)) from error
    return runtime


def _by_type(channels: Sequence[Channel]) -> Mapping[str, Channel]:
    for channel in channels:
        wrong = next(faults(channel), None)
        if wrong is not None:
            raise HostFailed(f"the channel of class {type(channel).__name__} cannot be used: {wrong}")
    by_type = {channel.channel_type: channel for channel in channels}
    if len(by_type) < len(channels):
        names = [channel.channel_type for channel in channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise HostFailed(
            f"two channels have the same channel_type, {', '.join(twice)}: give each a name of its own"
        )
    if AGENT in by_type:
        raise HostFailed(
            f"channel_type {AGENT!r} is reserved for messages between agents: give the channel another name"
        )
    return by_type


def _check_actions(actions: Mapping[str, ActionHandler]) -> None:
    taken = ", ".join(sorted(LOCAL_ACTIONS & actions.keys()))
    if taken:
        raise HostFailed(f"sessions perform {taken} themselves: give the action another name")
    for name, handler in actions.items():
        if iscoroutinefunction(handler) or not callable(handler):
            raise HostFailed(
                f"the handler of the action {name!r} must be a plain function of a connection, not async"
            )


@asynccontextmanager
async def _recording(
    record: Record | None, config: Config, channels: Sequence[Channel], seams: Seams
) -> AsyncIterator[Recorder | None]:
    """Open the recorder, if the host is recorded. It is closed after the host."""
    if record is None:
        yield None
        return
    recorder = await Recorder.begin(record, config, channels, seams.executor, seams.clock)
    try:
        yield recorder
    finally:
        await recorder.end(config.data, seams.executor)


def _recorded(recorder: Recorder, seams: Seams) -> Seams:
    return evolve(
        seams,
        clock=recorder.recorded_clock(),
        random=recorder.random(seams.random),
    )


def _reason(error: BaseException) -> str:
    """Return the text of the innermost cause. The errors of the actors only name the actor."""
    while isinstance(error, ActorError) and error.__cause__ is not None:
        error = error.__cause__
    return str(error)


@asynccontextmanager
async def _tree(  # noqa: PLR0913, PLR0917 -- the parts of a host
    config: Config,
    channels: Mapping[str, Channel],
    seams: Seams,
    runtime: Runtime,
    control: Control | None,
    recorder: Recorder | None,
    actions: Mapping[str, ActionHandler],
    begin_anew: bool,  # noqa: FBT001
) -> AsyncIterator[Host]:
    if recorder is not None:
        seams, channels = _recorded(recorder, seams), recorder.channels(channels)
        runtime = recorder.runtime(runtime)
    supervision = Supervision(seams.random)
    async with AsyncExitStack() as stack:
        wakeups = stack.enter_context(seams.wakeups())
        root = await stack.enter_async_context(supervision.open("host", under=None, policy=_ESSENTIAL))
        changes = Changes()
        registry = root.start(
            "registry",
            registry_recipe(
                config.data, seams.executor, seams.clock, seams.random, changes, begin_anew=begin_anew
            ),
        )
        await registry.wait_started()
        central = await stack.enter_async_context(
            open_reader(config.data / "v2.db", seams.executor, random=seams.random)
        )
        if recorder is not None:
            await recorder.keep_state(config, central, seams.executor)
            root.start("recording", _background(recorder.writer.run))
        senders = await stack.enter_async_context(open_senders(channels, supervision, under=root))
        root.start("wakeups", _background(wakeups.run))
        # Those who follow the central database check all their state. A jump of the date needs the same.
        root.start("clock", _background(partial(watch_clock, seams.clock, changes.tell_all)))
        presences = Presences(registry)
        root.start("presence", presences.recipe)
        services = Services(
            config=config,
            executor=seams.executor,
            clock=seams.clock,
            random=seams.random,
            central=central,
            registry=registry,
            changes=changes,
            senders=senders,
            runtime=runtime,
            wakeups=wakeups,
            presences=presences,
            observer=NoObserver() if recorder is None else recorder.observer(),
        )
        living = await stack.enter_async_context(
            open_sessions(services, partial(_dispatcher, services, actions), supervision, under=root)
        )
        # Under a supervisor of its own, which stops before the sessions that it uses.
        start_up = await stack.enter_async_context(
            supervision.open("start-up", under=root, policy=_ESSENTIAL)
        )
        resume = partial(_resume, central, living, changes, runtime)
        start_up.start("resume", _background(resume))
        in_thread = partial(seams.executor.run, lane="match")
        router = Router(central, registry, changes, living, in_thread, types_with_buttons(channels.values()))
        await stack.enter_async_context(open_receivers(channels, router, supervision, under=root))
        zone_doubt = config.zone_doubt
        if zone_doubt is not None:
            _log.warning("host.zone_doubtful", reason=zone_doubt)
        keeper = registry if recorder is None else recorder.registry(registry)
        ground = _ground(config, seams, keeper, central, living, partial(why_refused, runtime))
        status = HostStatus(root, living, central, config, seams.clock, runtime.name, zone_doubt)
        if control is not None:
            operations = Operations(Catalogue.installed(), ground)
            await stack.enter_async_context(
                open_control(config.data, control, status, supervision, under=root, operations=operations)
            )
        if seams.runtime is None:
            warn_of_runtime(config)
        _log.info("host.ready", data=str(config.data), runtime=runtime.name)
        try:
            who = partial(answering, central, seams.executor, config)
            yield _host(config, router, living, ground, root, who, recorder, status)
        finally:
            _log.info("host.stopping")
            if recorder is not None:
                recorder.stopping()


def _ground(  # noqa: PLR0913, PLR0917 -- the parts of a host
    config: Config,
    seams: Seams,
    registry: Ref[Registry],
    central: Reader,
    living: Sessions,
    refusal: Callable[[str], str | None],
) -> Ground:
    """Return the parts that the administrative operations work on."""
    return Ground(
        registry=registry,
        central=central,
        sessions=LivingSessions(living),
        files=SessionFiles(config.data, seams.executor, central, seams.clock.now),
        make_agent_folder=partial(make_agent_folder, config.groups),
        now=seams.clock.now,
        refusal=refusal,
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


def _host(  # noqa: PLR0913, PLR0917 -- the parts of a host
    config: Config,
    intake: Intake,
    sessions: Sessions,
    ground: Ground,
    root: Supervisor,
    who: Callable[[Address], Awaitable[Sequence[Answering]]],
    recorder: Recorder | None,
    status: StatusSource,
) -> Host:
    """Return the host for embedders. A recorder also notes the events that they offer."""
    if recorder is not None:
        intake = recorder.intake(intake)
    return Host(config, intake, sessions, ground.registry, ground.central, root, ground, who, status)


_ESSENTIAL = Policy(give_up=Escalate(), fatal=(StoreError,))
"""The policy of parts that the host cannot run without."""


@frozen
class _Background:
    """An actor that takes no messages."""


def _background(
    run: Callable[[], Awaitable[object]],
) -> Callable[[Context[_Background]], AbstractAsyncContextManager[_Background]]:
    """Return the recipe of an actor that only runs a task."""

    @asynccontextmanager
    async def recipe(_context: Context[_Background]) -> AsyncIterator[_Background]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield _Background()
            nursery.cancel_scope.cancel()

    return recipe


async def _resume(central: Reader, living: Sessions, changes: Changes, runtime: Runtime) -> None:
    """Resume all sessions at start-up, and later each session that was made active again."""
    survivors = await _survivors(runtime)
    found = await _conversations(central, every_conversation)
    for damaged in found.damaged:
        _log.error("session.unusable", session=damaged.id, reason=str(damaged))
    await living.resume(found.usable, survivors=survivors)
    while True:
        opened = await changes.opened()
        found = await _conversations(central, open_conversations)
        await living.resume([each for each in found.usable if each.session.id in opened])


async def _conversations(central: Reader, read: Callable[[Connection], Conversations]) -> Conversations:
    """Read sessions of the central database. While the system cannot serve it, it is tried again."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await central.run(read)
        except StoreUnavailable as error:
            _log.warning("host.sessions_unread", reason=str(error), again_in_s=pause_s)
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def _survivors(runtime: Runtime) -> Sequence[str]:
    try:
        with foreign_code(StartFailed):
            return tuple(await runtime.survivors())
    except (StartFailed, ForeignError) as error:
        _log.warning("host.survivors_unknown", reason=text_of(error))
        return ()
