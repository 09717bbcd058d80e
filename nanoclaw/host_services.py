"""The actors below the sessions: registry, senders, runtime, gateway, budgets and disk space."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from actors import Bury, Policy, Ref, Supervisor
from nanoclaw.budgets import BudgetKeeper
from nanoclaw.channels.agents import RegistryAgents, UsesAgents
from nanoclaw.channels.conditions import Conditions
from nanoclaw.channels.protocol import Channel
from nanoclaw.channels.senders import open_senders
from nanoclaw.channels.state import RegistryState, UsesState, sweep_state
from nanoclaw.gateway import Gateway, HttpServers, Proxy, PublicInternet, SiteKeeper, WebProxy, open_gateway
from nanoclaw.gateway.meter import Meter
from nanoclaw.host_parts import HostFailed, Parts, Seams
from nanoclaw.registry import INSTALL_ID, Changes, Registry, registry_recipe, watch_lock
from nanoclaw.runtimes import Runtime, Served, isolates, unwrapped
from nanoclaw.session import NoObserver, Presences, Services
from nanoclaw.session.places import Places
from nanoclaw.session.space import Space
from nanoclaw.store import Reader, open_reader
from nanoclaw.store.central import meta
from nanoclaw.system.clock import Clock
from nanoclaw.system.clock_watch import watch_clock
from nanoclaw.system.foreign import ForeignError, foreign_code
from nanoclaw.system.supervision import Supervision, background
from nanoclaw.system.wakeups import Wakeups

RETRY_BURIED_S = 60.0
"""Delay before the work of a runtime that keeps failing is tried again."""


async def open_services(
    parts: Parts, wakeups: Wakeups, supervision: Supervision, root: Supervisor, stack: AsyncExitStack
) -> Services:
    """Start the actors that sessions need, and return them with the seams. `stack` closes what is opened."""
    config, seams, recorder, changes = parts.config, parts.seams, parts.recorder, Changes()
    executor, clock = seams.executor, seams.clock
    registry, central = await _open_central(parts, changes, root, stack)
    _hand_parts(parts.channels, central, registry, clock)
    senders = await stack.enter_async_context(
        open_senders(parts.channels, supervision, under=root, conditions=Conditions(clock))
    )
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
        random=seams.random,
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


async def _open_central(
    parts: Parts, changes: Changes, root: Supervisor, stack: AsyncExitStack
) -> tuple[Ref[Registry], Reader]:
    """Start the registry, the watch of its lock and the writer of the recording. Open a reader of `v2.db`."""
    config, seams, recorder = parts.config, parts.seams, parts.recorder
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
    return registry, central


def hand_parts(channel: Channel, central: Reader, registry: Ref[Registry], clock: Clock) -> None:
    """Give a channel its state, if it keeps some, and the agents, if it uses them.

    Raises:
        ForeignError: it cannot take them.
    """
    with foreign_code():
        if isinstance(channel, UsesState):
            channel.use_state(RegistryState(channel.channel_type, central, registry, clock))
        if isinstance(channel, UsesAgents):
            channel.use_agents(RegistryAgents(central, registry))


def _hand_parts(
    channels: Mapping[str, Channel], central: Reader, registry: Ref[Registry], clock: Clock
) -> None:
    """Give all channels what they use. Raises HostFailed if one cannot take it."""
    for name, channel in channels.items():
        try:
            hand_parts(channel, central, registry, clock)
        except ForeignError as error:
            raise HostFailed(
                f"the channel {name} cannot be used: its use_state() or use_agents() failed: {error}"
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
