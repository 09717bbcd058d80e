"""The directory of living sessions: finds or starts one and sends it a message in one synchronous step.

So a session cannot retire between the lookup and the message.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import TypeVar

import structlog
import trio
from attrs import Factory, define, field

from actors import Bury, Crashed, Message, Node, Policy, Ref, Stopped, Supervisor
from nanoclaw.records import Address, AgentMessage
from nanoclaw.records.content import Parkable
from nanoclaw.records.status import SessionDetails
from nanoclaw.session.actor import (
    Accept,
    AcceptFromAgent,
    Adopt,
    Attend,
    GetStatus,
    Replay,
    SessionActor,
    SessionDamaged,
    TellAgent,
    TellOwner,
    session_recipe,
)
from nanoclaw.session.administration import IsRenewed, RenewRunner, RestartRunner
from nanoclaw.session.agents import AgentMessageOutcome
from nanoclaw.session.dispatch import AgentInbox, Dispatch
from nanoclaw.session.services import Conversation, Services
from nanoclaw.store import CorruptDatabase, ForeignDatabase, NewerDatabase, StaleSidecar
from nanoclaw.store.central import parked_events
from nanoclaw.store.session.messages_in import NewMessage
from nanoclaw.store.session.open_work import has_open_work
from nanoclaw.system.supervision import Supervision

RETRY_BURIED_S = 60.0
RENEWED_AGAIN_S = 0.2
"""Interval of looks at a runner that is to end after its turn."""
T = TypeVar("T")

MAX_ASKS = 3
"""Number of times an event is offered to a crashing session before it is parked."""
RESUMED_AT_ONCE, CHECKED_TOGETHER = 8, 16
"""Number of tasks that check and start sessions, and of sessions that a worker thread checks in one go.

A task for each session, and a hand-over to a thread for each, would delay the events that come meanwhile.
"""

_log = structlog.get_logger()


class SessionDown(Exception):
    """The session cannot take messages now. The text says why."""


@define(eq=False)
class Sessions:
    """Finds, starts and asks sessions."""

    _services: Services
    _supervisor: Supervisor
    _make_dispatch: Callable[[AgentInbox], Dispatch]
    _dispatch: Dispatch = field(
        init=False, default=Factory(lambda self: self._make_dispatch(self), takes_self=True)
    )
    """The dispatcher of all sessions. It sends messages between agents back to this directory."""

    def ref(self, conversation: Conversation) -> Ref[SessionActor]:
        """Return the session's actor, starting it if necessary. Synchronous."""
        name = conversation.session.id
        return self._supervisor.get(name) or self._supervisor.start(
            name, session_recipe(self._services, self._dispatch, conversation)
        )

    async def accept(self, conversation: Conversation, event: Parkable, *, trigger: bool = True) -> bool:
        """Store an event or answer. When this returns, it is on disk. Return False if it was stored before.

        An event about another message, such as a reaction, is stored only by a session that has the message.
        Return True for it if it is stored, also before.

        Raises:
            SessionDown: the session is buried, or crashed repeatedly on this message.
            StoreError: the message could not be stored.
        """
        return await self._ask(conversation, Accept(event, trigger))

    async def accept_from_agent(self, conversation: Conversation, said: AgentMessage) -> AgentMessageOutcome:
        """Store a message of another agent, or cut it. When this returns, the outcome is on disk.

        Raises:
            SessionDown: the session is buried, or crashed repeatedly on this message.
            StoreError: the message could not be stored.
        """
        return await self._ask(conversation, AcceptFromAgent(said))

    async def _ask(self, conversation: Conversation, message: Message[SessionActor, T]) -> T:
        cause: Exception | None = None
        for _ in range(MAX_ASKS):
            try:
                return await self.ref(conversation).ask(message)
            except Crashed as error:
                cause = error
            except Stopped as error:
                raise SessionDown(f"session {conversation.session.id} is down: {error}") from error
        raise SessionDown(f"session {conversation.session.id} crashed {MAX_ASKS} times: {cause}") from cause

    async def status(self, session_id: str, within_s: float) -> SessionDetails | None:
        """Return the details of a living session, or None if it does not answer within that time."""
        ref: Ref[SessionActor] | None = self._supervisor.get(session_id)
        with trio.move_on_after(within_s), suppress(Crashed, Stopped):
            return await ref.ask(GetStatus()) if ref is not None else None
        return None

    def nodes(self) -> Sequence[Node]:
        """Return the living and buried sessions in the live tree, named by their ids."""
        return self._supervisor.tree().children

    def attended(self, address: Address) -> None:
        """Tell the living sessions that somebody is there at an address. A session that holds rows lives."""
        for node in self.nodes():
            ref: Ref[SessionActor] | None = self._supervisor.get(node.name)
            if ref is not None:
                with suppress(Stopped):  # it reads its ledger when it starts again
                    ref.signal(Attend(address))

    async def tell_owner(self, conversation: Conversation, address: Address, key: str, text: str) -> None:
        """Store a notice of the host to the owner, once per key. When this returns, it is on disk.

        Raises:
            SessionDown: the session is buried, or crashed repeatedly on this message.
            StoreError: the notice could not be stored.
        """
        await self._ask(conversation, TellOwner(address, key, text))

    async def tell_agent(self, conversation: Conversation, message: NewMessage) -> None:
        """Store a message of the host to an agent, once per id. When this returns, it is on disk.

        Raises:
            SessionDown: the session is buried, or crashed repeatedly on this message.
            StoreError: the message could not be stored.
        """
        await self._ask(conversation, TellAgent(message))

    async def renew(self, session_ids: Collection[str], within_s: float) -> None:
        """Have the runners of living sessions start again after their turns. Return when the old ones end.

        A turn that lasts for more than `within_s` seconds is interrupted, and repeated by the next runner.
        """
        refs = [ref for id_ in session_ids if (ref := self._supervisor.get(id_)) is not None]
        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(_renew, ref, within_s)

    def replay(self, conversation: Conversation) -> None:
        """Tell the session that events were parked for it. Synchronous."""
        with suppress(Stopped):  # the host is stopping: the next start replays them
            self.ref(conversation).signal(Replay())

    async def resume(self, conversations: Sequence[Conversation], *, survivors: Collection[str] = ()) -> None:
        """Start the sessions that have work or a file to recover. The others stay at rest.

        `survivors` are the ids of sessions whose runners outlived the last host. They adopt these runners.
        """
        parked = await self._services.central.run(parked_events.counts)
        left = iter(conversations)

        async def resume_some() -> None:
            while some := list(islice(left, CHECKED_TOGETHER)):
                for conversation in await self._with_work(some, {*parked, *survivors}):
                    await self._resume(conversation, adopt=conversation.session.id in survivors)

        async with trio.open_nursery() as nursery:
            for _ in range(RESUMED_AT_ONCE):
                nursery.start_soon(resume_some)
        _log.info("sessions.resumed", sessions=len(conversations), survivors=len(survivors))

    async def _resume(self, conversation: Conversation, *, adopt: bool) -> None:
        ref = self.ref(conversation)
        if adopt:
            ref.signal(Adopt())  # in the same step, so that the session does not retire first
        try:
            await ref.wait_started()
        except (Crashed, Stopped) as error:  # reported already
            _log.info("session.not_resumed", session=conversation.session.id, reason=str(error))

    async def _with_work(self, some: list[Conversation], busy: Collection[str]) -> list[Conversation]:
        """Return the conversations that are busy, or whose files have work."""
        return await self._services.executor.run(
            lambda: [one for one in some if one.session.id in busy or self._has_work(one)], lane="read"
        )

    def _has_work(self, conversation: Conversation) -> bool:
        inbound = conversation.paths(self._services.config).inbound_db
        session = conversation.session
        used = session.last_active is not None and session.status != "archived"
        return has_open_work(inbound, missing=used)


async def _renew(ref: Ref[SessionActor], within_s: float) -> None:
    with suppress(Crashed, Stopped):  # a session that starts again has a new runner
        await ref.ask(RenewRunner())
        with trio.move_on_after(within_s):
            while not await ref.ask(IsRenewed()):  # noqa: ASYNC110 -- another actor has the state
                await trio.sleep(RENEWED_AGAIN_S)
            return
        await ref.ask(RestartRunner())


@asynccontextmanager
async def open_sessions(
    services: Services,
    dispatch: Callable[[AgentInbox], Dispatch],
    supervision: Supervision,
    *,
    under: Supervisor,
) -> AsyncIterator[Sessions]:
    """Open the supervisor of all sessions. On exit they finish commits and deliveries, and stop."""
    policy = Policy(
        give_up=Bury(RETRY_BURIED_S),
        fatal=(SessionDamaged, CorruptDatabase, ForeignDatabase, NewerDatabase, StaleSidecar),
    )
    async with supervision.open("sessions", under=under, policy=policy, order="together") as supervisor:
        yield Sessions(services, supervisor, dispatch)
