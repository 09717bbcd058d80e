"""Gathers the status of the running host, for the control socket and embedders."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import trio
from attrs import Factory, evolve, field, frozen

from actors import Node, Supervisor
from nanoclaw.config import Config
from nanoclaw.records import Address
from nanoclaw.records.status import CannotTell, ChannelReport, HostReport, SessionDetails, SessionReport
from nanoclaw.registry.trigger_rules import unheard
from nanoclaw.runtimes import RuntimeState
from nanoclaw.session import Conversation, Sessions, open_conversations
from nanoclaw.session.conversations import Conversations
from nanoclaw.store import Connection, Reader, StoreError
from nanoclaw.store.central import damage, parked_events, pending_questions
from nanoclaw.system.clock import Clock
from nanoclaw.system.descriptors import descriptors
from nanoclaw.version import installed_version

ANSWER_WITHIN_S = 1.0
"""Seconds after which a session that has not answered is shown without details."""


@frozen
class HostStatus:
    """A `StatusSource`. It reads the live tree and the central database, and asks the living sessions."""

    root: Supervisor
    sessions: Sessions
    central: Reader
    config: Config
    clock: Clock
    runtime: str
    channels: Callable[[], Sequence[ChannelReport]]
    """Returns the state of each channel, without the deliveries that wait for it."""
    refused: Callable[[], tuple[str, ...]] = tuple
    """Returns a sentence for each chat whose messages cannot be stored now."""
    zone_doubt: str | None = None
    """The reason why the time zone may be wrong."""
    budgets: Callable[[], tuple[str, ...]] = tuple
    """Returns a sentence for each budget that is near or used up, and for each model without a price."""
    runtime_state: Callable[[], RuntimeState | None] = lambda: None
    """Returns the state of the runtime, if it has one of its own."""
    network: Callable[[], tuple[str, ...]] = tuple
    """Returns a sentence if agents ask for sites."""
    disk: Callable[[], str | None] = lambda: None
    """Returns why no sandbox runs, while the disk is nearly full."""
    approvals: Callable[[], tuple[str, ...]] = tuple
    """Returns a sentence if approvals wait and nobody can be shown them."""
    started_at: datetime = field(init=False, default=Factory(lambda self: self.clock.now(), takes_self=True))

    def tree(self) -> Node:
        """Return the live tree of actors."""
        return self.root.tree()

    async def status(self) -> HostReport:
        """Return the status of the host. A session that hangs has no details, and delays this by a second.

        Raises:
            CannotTell: the central database cannot be read now.
        """
        try:
            read = await self.central.run(_read)
        except StoreError as error:
            raise CannotTell(f"the sessions cannot be read: {error}") from error
        nodes = self.sessions.nodes()
        details = await self._details(nodes)
        open_files, runtime = descriptors(), self.runtime_state()
        return HostReport(
            version=installed_version(),
            pid=os.getpid(),
            started_at=self.started_at,
            uptime_s=max(0.0, (self.clock.now() - self.started_at).total_seconds()),
            data=str(self.config.data),
            runtime=self.runtime,
            channels=_channels(self.channels(), details.values()),
            sessions=len(read.found.usable) + len(read.found.damaged),
            living=sum(node.state != "buried" for node in nodes),
            buried=sum(node.state == "buried" for node in nodes),
            parked=sum(read.parked.values()),
            questions=sum(read.asked.values()),
            living_sessions=_living(nodes, read, details),
            unheard=read.unheard,
            descriptors_used=open_files.used,
            descriptors_limit=open_files.limit,
            damaged=read.damaged,
            zone_doubt=self.zone_doubt,
            refused=self.refused(),
            budgets=self.budgets(),
            runtime_state=None if runtime is None else runtime.text,
            runtime_ready=runtime is None or runtime.ready,
            network=self.network(),
            disk=self.disk(),
            approvals=self.approvals(),
        )

    async def _details(self, nodes: Sequence[Node]) -> Mapping[str, SessionDetails | None]:
        """Ask all running sessions at once. Return their details by session id."""
        details = dict[str, SessionDetails | None]()

        async def ask(name: str) -> None:
            details[name] = await self.sessions.status(name, ANSWER_WITHIN_S)

        async with trio.open_nursery() as nursery:
            for node in nodes:
                if node.state == "running":
                    nursery.start_soon(ask, node.name)
        return details


@frozen
class _Rows:
    """The rows of the central database that the status shows."""

    found: Conversations
    parked: Mapping[str, int]
    asked: Mapping[str, int]
    """The number of open questions by session."""
    unheard: tuple[str, ...]
    damaged: tuple[str, ...]


def _read(connection: Connection) -> _Rows:
    return _Rows(
        open_conversations(connection),
        parked_events.counts(connection),
        Counter(question.session_id for question in pending_questions.every(connection)),
        unheard(connection),
        tuple(damage.find(connection)),
    )


def _living(
    nodes: Sequence[Node], read: _Rows, details: Mapping[str, SessionDetails | None]
) -> tuple[SessionReport, ...]:
    conversations = {each.session.id: each for each in read.found.usable}
    return tuple(
        _session(node, conversations[node.name], read, details.get(node.name))
        for node in nodes
        if node.name in conversations
    )


def _session(
    node: Node, conversation: Conversation, read: _Rows, details: SessionDetails | None
) -> SessionReport:
    return SessionReport(
        id=node.name,
        agent_group=conversation.agent_group.name,
        agent_group_id=conversation.agent_group.id,
        chat=None if conversation.chat is None else _chat(conversation.chat),
        status=conversation.session.status,
        state=node.state,
        mailbox=node.mailbox,
        restarts=node.restarts,
        parked=read.parked.get(node.name, 0),
        questions=read.asked.get(node.name, 0),
        last_crash=node.last_crash,
        details=details,
    )


def _chat(chat: Address) -> str:
    thread = f"/{chat.thread_id}" if chat.thread_id else ""
    return f"{chat.channel_type}:{chat.platform_id}{thread}"


def _channels(
    found: Sequence[ChannelReport], details: Iterable[SessionDetails | None]
) -> tuple[ChannelReport, ...]:
    """Return the reports of the channels with the deliveries that wait for them."""
    waiting = Counter[str]()
    for each in details:
        waiting.update(each.waiting_for if each is not None else {})
    return tuple(evolve(report, waiting=waiting[report.name]) for report in found)
