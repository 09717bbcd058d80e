"""The parts above the sessions: the router, the desks of questions and approvals, and the operations."""

from collections.abc import Mapping
from functools import partial

from attrs import frozen

from actors import Supervisor
from nanoclaw.approvals.desk import ApprovalDesk
from nanoclaw.approvals.showing import CardSender
from nanoclaw.budgets.limits import rules_of
from nanoclaw.channels.live import LiveChannels
from nanoclaw.dispatch import ActionHandler, Dispatcher
from nanoclaw.dispatch.agents import ToAgents
from nanoclaw.dispatch.chats import ToChats
from nanoclaw.dispatch.host_actions import ToHost
from nanoclaw.dispatch.outgoing import Outbox
from nanoclaw.host_effects import HostEffects
from nanoclaw.host_parts import Parts
from nanoclaw.operations import Ground, SessionFiles
from nanoclaw.operations.folders import make_agent_folder
from nanoclaw.operations.live import LivingSessions
from nanoclaw.routing import (
    Drops,
    EngagedThreads,
    HeldKeeper,
    Pairing,
    QuestionDesk,
    Router,
    Shows,
    Strangers,
    WaitingFiles,
)
from nanoclaw.runtimes import why_refused
from nanoclaw.session import AgentInbox, Services, Sessions
from nanoclaw.system.supervision import background


@frozen
class Desks:
    """What `start_desks` has started, as far as other parts use it."""

    router: Router
    approvals: ApprovalDesk
    drops: Drops


async def start_desks(
    parts: Parts, services: Services, living: Sessions, start_up: Supervisor, root: Supervisor
) -> Desks:
    """Start the desks and the keepers of what the router needs.

    Those that use sessions are started under `start_up`, which stops before the sessions.
    """
    start_up.start("questions", background(_question_desk(services, living).run))
    drops = Drops(services.registry, services.clock)
    root.start("drops", drops.recipe)
    engaged = EngagedThreads(services.registry, services.central, services.clock)
    await root.start("engaged-threads", engaged.recipe).wait_started()
    pairing = Pairing(services.central, services.registry, services.changes, services.senders, services.clock)
    files = WaitingFiles(services.config.data, services.executor, services.central)
    router = _router(services, living, engaged, drops, pairing, files)
    desk = _approval_desk(parts, services, living, router)
    start_up.start("approvals", background(desk.run))
    start_up.start("pairing", background(pairing.run))
    start_up.start("held", background(_held_keeper(services, router).run))
    start_up.start("waiting-files", background(files.run))
    return Desks(router, desk, drops)


def _router(  # noqa: PLR0913, PLR0917 -- the parts that it uses
    services: Services,
    living: Sessions,
    engaged: EngagedThreads,
    drops: Drops,
    pairing: Pairing,
    files: WaitingFiles,
) -> Router:
    """Return the intake of all channels."""
    return Router(
        services.central,
        services.registry,
        services.changes,
        living,
        engaged,
        partial(services.executor.run, lane="match"),
        services.clock,
        drops,
        Strangers(services.registry, services.config.approvals.held_messages, files),
        pairing,
        files,
        Shows(services.senders.with_buttons, services.senders.with_card_edits),
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


def ground_of(
    parts: Parts, services: Services, living: Sessions, drops: Drops, channels: LiveChannels
) -> Ground:
    """Return the parts that the administrative operations work on. A recorder notes their changes."""
    config, recorder, registry = parts.config, parts.recorder, services.registry
    return Ground(
        registry=registry if recorder is None else recorder.registry(registry),
        central=services.central,
        sessions=LivingSessions(living),
        files=SessionFiles(config.data, services.executor, services.central, services.clock.now),
        make_agent_folder=partial(make_agent_folder, config.groups),
        now=services.clock.now,
        random=services.random,
        zone=config.timezone,
        rules=rules_of(config),
        write_usage=services.budgets.write,
        write_drops=drops.write,
        refusal=partial(why_refused, parts.runtime),
        channels=channels,
    )


def dispatcher_of(services: Services, actions: Mapping[str, ActionHandler], inbox: AgentInbox) -> Dispatcher:
    """Return the dispatcher of all sessions."""
    central, registry, clock = services.central, services.registry, services.clock
    outbox = Outbox(services.config, services.executor)
    return Dispatcher(
        ToChats(central, registry, services.senders, outbox, clock),
        ToAgents(central, registry, inbox, outbox, clock),
        ToHost(registry, actions, clock),
        clock,
    )
