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

from actors import ActorError, Escalate, Node, Policy, Ref, Supervisor
from nanoclaw.approvals.kind import ApprovalKind
from nanoclaw.channels.live import RECORDED, LiveChannels
from nanoclaw.channels.protocol import Channel
from nanoclaw.channels.receivers import Receivers, open_receivers
from nanoclaw.channels.state import ChannelState, RegistryState
from nanoclaw.config import Config
from nanoclaw.control import Control, default_control, open_control
from nanoclaw.dispatch import ActionHandler
from nanoclaw.host_desks import Desks, dispatcher_of, ground_of, start_desks
from nanoclaw.host_parts import HostFailed, Parts, Seams
from nanoclaw.host_services import hand_parts, open_services
from nanoclaw.host_status import HostStatus
from nanoclaw.operations import Admin, BadNoun, Caller, Catalogue, Ground, Operations
from nanoclaw.recording import Record, Recorder, RecordingRefused
from nanoclaw.records import Address, Answering, Intake
from nanoclaw.records.status import HostReport, StatusSource
from nanoclaw.registry import Bootstrap, Registry
from nanoclaw.runtimes import (
    kept_events,
    state_of,
    unwrapped,
    warn_of_runtime,
)
from nanoclaw.session import Services, Sessions, answering, open_sessions
from nanoclaw.session.owner_alerts import tell_owner
from nanoclaw.session.resuming import resume_sessions
from nanoclaw.store import OwnershipLost, Reader, StoreError
from nanoclaw.store.session.media import forget_deliveries
from nanoclaw.system.supervision import Supervision, background

__all__ = ["Host", "HostFailed", "Seams", "open_host"]

MAX_CHANNEL_TYPE = 1000

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
    recorder = parts.recorder
    supervision = Supervision(parts.seams.random)
    async with AsyncExitStack() as stack:
        wakeups = stack.enter_context(parts.seams.wakeups())
        root = await stack.enter_async_context(supervision.open("host", under=None, policy=_ESSENTIAL))
        services = await open_services(parts, wakeups, supervision, root, stack)
        await services.executor.run(partial(forget_deliveries, parts.config.data))
        living = await stack.enter_async_context(
            open_sessions(services, partial(dispatcher_of, services, parts.actions), supervision, under=root)
        )
        # Under a supervisor of its own, which stops before the sessions that it uses.
        start_up = await stack.enter_async_context(
            supervision.open("start-up", under=root, policy=_ESSENTIAL)
        )
        start_up.start("resume", background(partial(resume_sessions, services, living)))
        start_up.start("owner-alerts", background(partial(tell_owner, services, living)))
        desks = await start_desks(parts, services, living, start_up, root)
        conditions = services.senders.conditions
        receivers = await stack.enter_async_context(
            open_receivers(parts.channels, desks.router, supervision, under=root, conditions=conditions)
        )
        channels = _channels(parts, services, receivers, control)
        start_up.start("channels", background(channels.run))
        ground = ground_of(parts, services, living, desks.drops, channels)
        status = _status(parts, services, living, desks, root, channels)
        if control is not None:
            await stack.enter_async_context(_control(control, parts, ground, status, supervision, root))
        _log_ready(parts)
        try:
            yield _host(parts, services, living, desks, root, ground, status)
        finally:
            _log.info("host.stopping")
            if recorder is not None:
                recorder.stopping()


def _host(  # noqa: PLR0913, PLR0917 -- the parts that embedders see
    parts: Parts,
    services: Services,
    living: Sessions,
    desks: Desks,
    root: Supervisor,
    ground: Ground,
    status: HostStatus,
) -> Host:
    config, router, recorder = parts.config, desks.router, parts.recorder
    return Host(
        config,
        router if recorder is None else recorder.intake(router),
        living,
        ground.registry,
        ground.central,
        root,
        ground,
        partial(answering, services.central, services.executor, config),
        status,
        partial(RegistryState, central=services.central, registry=services.registry, clock=services.clock),
    )


def _channels(
    parts: Parts, services: Services, receivers: Receivers, control: Control | None
) -> LiveChannels:
    return LiveChannels(
        parts.config,
        services.senders,
        receivers,
        partial(hand_parts, central=services.central, registry=services.registry, clock=services.clock),
        None if control is None else control.reread,
        None if parts.recorder is None else RECORDED,
        services.changes.tell_approvals,
        dict(parts.channels),
    )


def _status(  # noqa: PLR0913, PLR0917 -- the parts that it reads
    parts: Parts,
    services: Services,
    living: Sessions,
    desks: Desks,
    root: Supervisor,
    channels: LiveChannels,
) -> HostStatus:
    return HostStatus(
        root,
        living,
        services.central,
        parts.config,
        services.clock,
        parts.runtime.name,
        channels.reports,
        desks.router.refused.lines,
        parts.config.zone_doubt,
        services.budgets.remarks,
        partial(state_of, unwrapped(parts.runtime)),
        services.gateway.remarks,
        lambda: services.space.remark,
        desks.approvals.remarks,
    )


def _control(  # noqa: PLR0913, PLR0917 -- the parts that its commands use
    control: Control,
    parts: Parts,
    ground: Ground,
    status: StatusSource,
    supervision: Supervision,
    root: Supervisor,
) -> AbstractAsyncContextManager[None]:
    """Return the context in which the control socket is open."""
    return open_control(
        parts.config.data,
        control,
        status,
        supervision,
        under=root,
        operations=Operations(Catalogue.installed(), ground),
        output=partial(kept_events, unwrapped(parts.runtime)),
    )


def _log_ready(parts: Parts) -> None:
    if parts.config.zone_doubt is not None:
        _log.warning("host.zone_doubtful", reason=parts.config.zone_doubt)
    if parts.seams.runtime is None:
        warn_of_runtime(parts.config)
    _log.info("host.ready", data=str(parts.config.data), runtime=parts.runtime.name)


_ESSENTIAL = Policy(give_up=Escalate(), fatal=(StoreError, OwnershipLost))
"""The policy of parts that the host cannot run without."""
