"""The session actor: owns one conversation's `inbound.db`, its runner, and the reading of its `outbound.db`.

No other part accesses these. The mailbox loop only stores messages. The tasks of the session's shell wait for
channels, containers and hostile files. The actor reads its files at its start, so a crash at any point loses
nothing: a message is on disk before it is confirmed, an attempt before the channel is asked.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial

import structlog
import trio
from attrs import define, evolve, frozen
from outcome import Error, Outcome, Value

from actors import Context, Ref
from nanoclaw.records import Address, AgentMessage, Answer
from nanoclaw.records.content import Parkable
from nanoclaw.records.status import SessionDetails
from nanoclaw.registry import RemoveParked
from nanoclaw.runtimes import isolates
from nanoclaw.session import agents, notices, transactions
from nanoclaw.session.agents import AgentMessageOutcome
from nanoclaw.session.arrivals import Arrivals, has_files, loaded
from nanoclaw.session.comparing import History
from nanoclaw.session.dispatch import Dispatch, Source
from nanoclaw.session.effects import Effects
from nanoclaw.session.places import Tenant
from nanoclaw.session.pruning import Pruner
from nanoclaw.session.rules import Rules
from nanoclaw.session.runner_supervisor import RunnerSupervisor
from nanoclaw.session.services import Conversation, Services
from nanoclaw.session.shell import Shell
from nanoclaw.session.silence import silent_tasks
from nanoclaw.session.starting import RunnerStart
from nanoclaw.session.state import SessionState
from nanoclaw.session.status import status
from nanoclaw.session.transactions import StoredSession
from nanoclaw.store import (
    CorruptDatabase,
    ForeignDatabase,
    StoreError,
    StoreUnavailable,
    Writer,
    create_outbound,
    open_untrusted,
    own_inbound,
)
from nanoclaw.store.central import parked_events, sessions
from nanoclaw.store.engine.mutex import Mutex
from nanoclaw.store.engine.patience import Patience
from nanoclaw.store.session import messages_in
from nanoclaw.store.session.messages_in import NewMessage, OpenMessage
from nanoclaw.store.session.projections import central_view
from nanoclaw.system.sandbox_user import sandbox_owner

_log = structlog.get_logger()

PATIENCE_S = 0.5
"""Longest wait of a look for the runner's lock. The runner's commit, or the alarm, causes the next look."""
LAST_LOOK_S = 1.0
"""At shutdown, time limit of the look at the last commits of the stopped runner."""
REFRESH_AGAIN_S = 5.0
"""Delay before a failed write of projections or parked events is retried."""


class SessionDamaged(Exception):
    """The session's `inbound.db` was damaged while it was open, or has a value that cannot be read."""


# -- messages ------------------------------------------------------------------


@frozen
class Accept:
    """Store one event or answer. The reply comes when it is on disk.

    The reply is False if the event was stored before, or the question already has another answer. The reply
    to an event about another message is True if it is stored, and False if that message is not here.
    """

    event: Parkable
    trigger: bool = True

    async def handle(self, actor: "SessionActor") -> bool:
        """Store it alone."""
        [outcome] = await actor.accept([self])
        return outcome.unwrap()

    @classmethod
    async def handle_all(cls, actor: "SessionActor", messages: Sequence["Accept"]) -> list[Outcome[bool]]:
        """Store all waiting messages in one commit. A bad one does not affect the others."""
        return await actor.accept(messages)


@frozen
class AcceptFromAgent:
    """Store a message of another agent. The reply comes when it is on disk, or cut."""

    said: AgentMessage

    async def handle(self, actor: "SessionActor") -> AgentMessageOutcome:
        """Store or cut it."""
        return await actor.accept_from_agent(self.said)


@frozen
class Refresh:
    """A signal that the central database has changed, or the date has jumped."""

    async def handle(self, actor: "SessionActor") -> None:
        """Rewrite the projections, which also wakes the runner. Read the session's status."""
        await actor.refresh()


@frozen
class Release:
    """A signal that others need what the session's runner holds."""

    between_turns: bool = False

    async def handle(self, actor: "SessionActor") -> None:
        """Stop a runner that has no work, or is between two turns."""
        await trio.lowlevel.checkpoint()
        actor.shell.release(between_turns=self.between_turns)


@frozen
class FollowBreaker:
    """A signal that the session's breaker has opened or closed."""

    async def handle(self, actor: "SessionActor") -> None:
        """Stop or start the runner."""
        await trio.lowlevel.checkpoint()
        actor.follow_breaker()
        actor.shell.tick()


@frozen
class TellOwner:
    """Store a notice to the owner. The reply comes when it is on disk. A repeat changes nothing."""

    address: Address
    key: str
    text: str

    async def handle(self, actor: "SessionActor") -> None:
        """Store it, unless the ledger has had it."""
        await actor.tell_owner(self.address, self.key, self.text)


@frozen
class TellAgent:
    """Store a message of the host to the agent. The reply comes when it is on disk. A repeat is ignored."""

    message: NewMessage

    async def handle(self, actor: "SessionActor") -> None:
        """Store it, unless its id was used before, then start a runner if there is work."""
        await actor.tell_agent(self.message)


@frozen
class TellOfSpace:
    """A signal to tell the session's own chat, if it has one, and its agent. A repeat changes nothing."""

    key: str
    people: str
    agent: str

    async def handle(self, actor: "SessionActor") -> None:
        """Store what was not stored before."""
        chat = actor.conversation.chat
        await actor.tell_agent(notices.report_disk(self.key, self.agent, chat, actor.services.clock.now()))
        if chat is not None:
            await actor.tell_owner(chat, self.key, self.people)


@frozen
class Adopt:
    """A signal that a runner of this session outlived the last host."""

    async def handle(self, actor: "SessionActor") -> None:
        """Adopt the surviving runner even if the session is idle. It is stopped after the usual idle time."""
        actor.adopt()


@frozen
class Attend:
    """A signal that somebody is there again at an address."""

    address: Address

    async def handle(self, actor: "SessionActor") -> None:
        """Deliver what was held because nobody was there."""
        actor.shell.attended(self.address)


@frozen
class Replay:
    """A signal that events were parked for this session."""

    async def handle(self, actor: "SessionActor") -> None:
        """Store the parked events. If the system cannot do that now, it is tried again."""
        try:
            await actor.replay_parked()
        except StoreUnavailable:
            actor.replay_later()
            raise


@frozen
class GetStatus:
    """Ask what the session is doing. It reads only memory."""

    async def handle(self, actor: "SessionActor") -> SessionDetails:
        """Return the details."""
        now, zone, state = actor.services.clock.now(), actor.services.config.timezone, actor.shell.state
        silent = await silent_tasks(state.messages, now, zone)
        queued = actor.services.places.position(actor.conversation.session.id)
        return status(state, actor.polled, now, silent, queued)


# -- the actor -----------------------------------------------------------------


@frozen(eq=False)
class SessionActor:
    """One living session: the writer of its inbound file, and its shell with the other tasks."""

    services: Services
    conversation: Conversation
    inbound: Writer
    shell: Shell
    arrivals: Arrivals
    refresh_later: Callable[[], None]
    """Signals `Refresh` again after `REFRESH_AGAIN_S`."""
    replay_later: Callable[[], None]
    """Signals `Replay` again after `REFRESH_AGAIN_S`."""
    files: Mutex
    """Held from the writing of files to the commit of their rows. Until then a pruner would delete them."""

    @property
    def polled(self) -> str | None:
        """The reason why the outbound directory is polled. None if it is watched."""
        return self.services.wakeups.polled(self.conversation.paths(self.services.config).outbound_dir)

    async def accept(self, arrivals: Sequence[Accept]) -> list[Outcome[bool]]:
        """Commit several events, each in its own savepoint, then start a runner if there is work.

        Raises:
            SessionDamaged: the file is damaged. The actor crashes, so that further events are parked.
            StoreError: no event could be stored.
        """
        with self.shell.under_way():
            async with self.files if any(has_files(each.event) for each in arrivals) else nullcontext():
                messages = [await self.arrivals.row(each.event, trigger=each.trigger) for each in arrivals]
                outcomes = await self._commit(messages)
            results = [o if isinstance(o, Error) else o.unwrap() for o in outcomes]
            self.shell.stored(result for result in results if isinstance(result, OpenMessage))
            accepted: list[Outcome[bool]] = [
                result
                if isinstance(result, Error)
                else Value(await self._is_accepted(arrival, message, result))
                for arrival, message, result in zip(arrivals, messages, results, strict=True)
            ]
        self.shell.tick()
        return accepted

    async def accept_from_agent(self, said: AgentMessage) -> AgentMessageOutcome:
        """Commit a message of another agent, unless it is cut, then start a runner if there is work.

        Raises:
            SessionDamaged: the file is damaged.
            StoreError: the message could not be stored.
        """
        with self.shell.under_way():
            async with self.files if said.attachments else nullcontext():
                files, text = await self.arrivals.store_files(said.message_id, said.attachments, said.text)
                said = evolve(said, text=text)
                now = self.services.clock.now()
                try:
                    limits = self.services.config.agents
                    outcome = await self.inbound.run(agents.take, said, files, now, limits)
                except (CorruptDatabase, ForeignDatabase) as error:
                    raise SessionDamaged(str(error)) from error
            self.shell.stored([outcome.opened] if outcome.opened else [])
        self.shell.tick()
        return outcome

    async def _commit(self, messages: Sequence[NewMessage]) -> list[Outcome[OpenMessage | None]]:
        step = transactions.store if self.conversation.chat else transactions.store_and_follow
        try:
            return await self.inbound.run_each(step, messages)
        except (CorruptDatabase, ForeignDatabase) as error:
            raise SessionDamaged(str(error)) from error

    async def _is_accepted(self, arrival: Accept, message: NewMessage, stored: OpenMessage | None) -> bool:
        """Return True if the arrival is new, or repeats an answer whose confirmation was interrupted."""
        if stored is not None:
            return True
        if message.target is not None:
            return await self.inbound.run(messages_in.is_stored, message.id)
        if not isinstance(arrival.event, Answer):
            return False
        return await self.inbound.run(messages_in.holds, message.id, message.content)

    async def refresh(self) -> None:
        """Read the central database again: projections (contract 4) and status."""
        try:
            with self.shell.under_way():
                await self.follow_status()  # first: a pause must not wait until inbound.db can be written
                view = await self.services.central.run(central_view, self.conversation.agent_group.id)
                await self.inbound.run(transactions.project, view, self.conversation.chat)
        except StoreError:
            self.refresh_later()
            raise
        finally:
            self.shell.wake()  # even after a failed write: a jump of the date may make messages due

    def adopt(self) -> None:
        """Adopt the surviving runner, or stop it if it may not run."""
        self.shell.adopt()

    def follow_breaker(self) -> None:
        """Read the session's breaker: that of its budget, else that of its disk space."""
        session_id, services = self.conversation.session.id, self.services
        used_up = services.budgets.breaker(session_id, self.conversation.agent_group.id)
        self.shell.change_breaker(used_up or services.space.breaker(session_id))

    async def tell_owner(self, address: Address, key: str, text: str) -> None:
        """Store a notice to the owner.

        Raises:
            StoreError: it could not be stored.
        """
        with self.shell.under_way():
            self.shell.notices_added(await self.inbound.run(notices.tell_at, address, key, text))
        self.shell.tick()

    async def tell_agent(self, report: NewMessage) -> None:
        """Store a report to the agent, unless it was stored before.

        Raises:
            StoreError: it could not be stored.
        """
        with self.shell.under_way():
            follows = self.conversation.chat is None and report.address is not None
            step = transactions.store_and_follow if follows else transactions.store
            told = await self.inbound.run(step, report)
            self.shell.stored([told] if told else [])
        self.shell.tick()

    async def follow_status(self) -> None:
        """Read the session's status. The status at the actor's start may be out of date."""
        session = await self.services.central.run(sessions.get, self.conversation.session.id)
        self.shell.change_status(session.status if session else "archived")

    async def replay_parked(self) -> None:
        """Store the events that were parked while this session could not take them."""
        parked = await self.services.central.run(parked_events.for_session, self.conversation.session.id)
        if parked:
            readable = [(each.id, found) for each in parked if (found := loaded(each)) is not None]
            await self.accept([Accept(*found) for _, found in readable])
            await self.services.registry.ask(RemoveParked([id_ for id_, _ in readable]))
            _log.info("session.replayed", events=len(readable))


# -- recipe --------------------------------------------------------------------


def session_recipe(
    services: Services, dispatch: Dispatch, conversation: Conversation
) -> Callable[[Context[SessionActor]], AbstractAsyncContextManager[SessionActor]]:
    """Return the recipe of a session: its lock, the writer of its inbound file, its runner."""
    paths, executor = conversation.paths(services.config), services.executor

    @asynccontextmanager
    async def recipe(context: Context[SessionActor]) -> AsyncIterator[SessionActor]:
        structlog.contextvars.bind_contextvars(session=conversation.session.id)
        async with (
            services.shortage.telling(),
            own_inbound(paths, executor=executor, clock=services.clock, random=services.random) as inbound,
            open_untrusted(
                paths.outbound_db, executor, patience_s=PATIENCE_S, random=services.random
            ) as outbound,
            trio.open_nursery() as nursery,
        ):
            stored = await _open_files(services, conversation, inbound)
            rules = Rules.of(
                services.config, conversation.chat, services.senders.repeat, dispatch.host_actions
            )
            state = SessionState.initial(stored, rules, conversation.session.status, trio.current_time())
            start = RunnerStart(services, conversation, inbound)
            supervisor = RunnerSupervisor(
                services.runtime, nursery, start.prepare, paths.heartbeat, start.door, services.shortage
            )
            ids = conversation.session.id, conversation.agent_group.id
            shell = Shell(
                services.clock,
                dispatch,
                Source(conversation, inbound, rules),
                outbound,
                Effects(services, *ids, supervisor, context.retire),
                state,
            )
            supervisor.room = partial(services.space.room, tell=partial(_tell_of_space, context.ref))
            supervisor.place = partial(_place, services, ids[0], shell, context.ref)
            if state.outbound.history is not History.MARKED:
                await shell.compare_files()
            files, arrivals = Mutex(), Arrivals(paths.inbox, executor, services.clock, services.config.data)
            refresh, replay = (_Delayed(nursery, context.ref, each()).ask for each in (Refresh, Replay))
            actor = SessionActor(services, conversation, inbound, shell, arrivals, refresh, replay, files)
            with (
                services.wakeups.watch(paths.outbound_dir, shell.wake, shell.drafts.replaced),
                inbound.when_blocked(shell.inbound_blocked),
                services.shortage.watch(partial(context.ref.signal, Release())),
                services.budgets.watch(*ids, partial(context.ref.signal, FollowBreaker())),
                services.space.watch(ids[0], partial(context.ref.signal, FollowBreaker())),
                services.changes.watch(conversation.agent_group.id, partial(context.ref.signal, Refresh())),
            ):
                nursery.start_soon(shell.send_hints)
                nursery.start_soon(shell.drafts.run)
                nursery.start_soon(shell.deliver)
                await actor.follow_status()
                actor.follow_breaker()
                await actor.replay_parked()
                nursery.start_soon(shell.run_rounds)
                nursery.start_soon(Pruner(services, paths, inbound, outbound, files).run, shell.wake)
                yield actor
                await shell.close(LAST_LOOK_S + services.config.runtime.stop_grace_s)
            nursery.cancel_scope.cancel()

    return recipe


def _place(
    services: Services,
    session_id: str,
    shell: Shell,
    session: Ref[SessionActor],
    waits: Callable[[bool], None],
) -> AbstractAsyncContextManager[None]:
    """Return the session's place among the running sandboxes."""

    def give_up(between_turns: bool) -> None:  # noqa: FBT001 -- as `Tenant` calls it
        session.signal(Release(between_turns))

    return services.places.taken(Tenant(session_id, shell.use_of_place, give_up, waits))


def _tell_of_space(session: Ref[SessionActor], key: str, people: str, agent: str) -> None:
    session.signal(TellOfSpace(key, people, agent))


async def _open_files(services: Services, conversation: Conversation, inbound: Writer) -> StoredSession:
    """Create `outbound.db` if it is missing, and read `inbound.db`."""
    paths = conversation.paths(services.config)
    owner = sandbox_owner() if isolates(services.runtime) else None
    create = partial(create_outbound, paths, owner=owner)
    patience = Patience(paths.outbound_db, services.random)
    created = await patience.until_done(lambda: services.executor.run(create))
    stored = await _read_session(inbound)
    if created and stored.history is History.NEW:  # both files are new: there is nothing to compare
        used = conversation.session.last_active is not None
        return evolve(stored, history=History.LOST if used else History.MARKED)
    return stored


async def _read_session(inbound: Writer) -> StoredSession:
    """Read the session's file.

    Raises:
        SessionDamaged: a value in it cannot be read, such as an invalid date.
    """
    try:
        return await inbound.run(transactions.read_session)
    except (ValueError, TypeError) as error:
        advice = "correct that row, or restore the session's whole folder from a backup"
        raise SessionDamaged(f"{inbound.path}: a row cannot be read: {error}; {advice}") from error


@define(eq=False)
class _Delayed:
    """Sends a signal after `REFRESH_AGAIN_S`. Requests that come meanwhile are merged."""

    nursery: trio.Nursery
    session: Ref[SessionActor]
    message: Refresh | Replay
    _asked: bool = False

    def ask(self) -> None:
        if not self._asked:
            self._asked = True
            self.nursery.start_soon(self._signal)

    async def _signal(self) -> None:
        await trio.sleep(REFRESH_AGAIN_S)
        self._asked = False
        self.session.signal(self.message)
