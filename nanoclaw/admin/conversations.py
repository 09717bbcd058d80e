"""Sessions, and what waits in them: parked events, questions, approvals."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, Unpack

from nanoclaw.admin.access import Access
from nanoclaw.records import (
    Address,
    ApprovalStatus,
    ParkedEvent,
    PendingApproval,
    PendingQuestion,
    Session,
    SessionStatus,
)
from nanoclaw.registry import (
    CreateApproval,
    CreateQuestion,
    DecideApproval,
    DeleteApproval,
    DeleteQuestion,
    DeleteSession,
    ExpireApprovals,
    OpenSession,
    RemoveParked,
    UpdateSession,
)
from nanoclaw.store import parked_events, pending_approvals, pending_questions, sessions
from nanoclaw.store.sessions import SessionChanges


class SessionRows(Access):
    """The conversations, as rows; the living ones are `Host.sessions`."""

    async def open(
        self, agent_group_id: str, messaging_group_id: str | None, thread_id: str | None = None
    ) -> Session:
        """The open one of an agent group, chat and thread, made where it is missing."""
        return await self._registry.ask(OpenSession(agent_group_id, messaging_group_id, thread_id))

    async def get(self, id_: str) -> Session | None:
        """The one with that id."""
        return await self._central.run(sessions.get, id_)

    async def find_open(
        self, agent_group_id: str, messaging_group_id: str | None, thread_id: str | None = None
    ) -> Session | None:
        """The open one of an agent group, chat and thread."""
        return await self._central.run(sessions.find_open, agent_group_id, messaging_group_id, thread_id)

    async def find_shared(self, agent_group_id: str) -> Session | None:
        """The open one of an agent group over all its chats."""
        return await self._central.run(sessions.find_shared, agent_group_id)

    async def for_agent(self, agent_group_id: str) -> Sequence[Session]:
        """An agent group's, also archived ones, the oldest first."""
        return await self._central.run(sessions.for_agent, agent_group_id)

    async def list(self, status: SessionStatus | None = None) -> Sequence[Session]:
        """All of a status (None: of any), the oldest first."""
        return await self._central.run(sessions.every, status)

    async def running(self) -> Sequence[Session]:
        """Those with a container, as last written; the oldest first."""
        return await self._central.run(sessions.running)

    async def update(self, id_: str, **changes: Unpack[SessionChanges]) -> Session:
        """Change it. Raises `NotFound`, `Conflict` (another one is open in its place)."""
        return await self._registry.ask(UpdateSession(id_, changes))

    async def pause(self, id_: str) -> Session:
        """Store its messages and wake nobody. Raises as `update` does."""
        return await self.update(id_, status="paused")

    async def resume(self, id_: str) -> Session:
        """Let it go on. Raises as `update` does."""
        return await self.update(id_, status="active")

    async def archive(self, id_: str) -> Session:
        """End it; the next message opens a new one. Raises as `update` does."""
        return await self.update(id_, status="archived")

    async def delete(self, id_: str) -> Session:
        """Delete the row of an archived one with what it owns (contract 3); its folder stays.

        Raises `NotFound`, `NotAllowed` (it is not archived), `StillReferenced`.
        """
        return await self._registry.ask(DeleteSession(id_))


class Parked(Access):
    """Accepted events whose sessions cannot take them."""

    async def list(self) -> Sequence[ParkedEvent]:
        """All, in the order in which they were parked."""
        return await self._central.run(parked_events.every)

    async def for_session(self, session_id: str) -> Sequence[ParkedEvent]:
        """A session's, in the order in which they were parked."""
        return await self._central.run(parked_events.for_session, session_id)

    async def remove(self, ids: Iterable[str]) -> None:
        """Throw them away; nobody will see them any more."""
        await self._registry.ask(RemoveParked(list(ids)))


class Questions(Access):
    """Cards with buttons that wait for an answer."""

    async def create(  # noqa: PLR0913 -- the parts of a card, by name
        self,
        question_id: str,
        session_id: str,
        message_out_id: str,
        *,
        title: str,
        options: Sequence[object],
        address: Address | None = None,
    ) -> bool:
        """Record one; False if it is recorded. Raises `NotFound`."""
        return await self._registry.ask(
            CreateQuestion(question_id, session_id, message_out_id, address, title, options)
        )

    async def get(self, question_id: str) -> PendingQuestion | None:
        """The one with that id, while it waits."""
        return await self._central.run(pending_questions.get, question_id)

    async def for_session(self, session_id: str) -> Sequence[PendingQuestion]:
        """A session's, the oldest first."""
        return await self._central.run(pending_questions.for_session, session_id)

    async def list(self) -> Sequence[PendingQuestion]:
        """All, the oldest first."""
        return await self._central.run(pending_questions.every)

    async def delete(self, question_id: str) -> PendingQuestion:
        """Take it away. Raises `NotFound`: it does not wait any more."""
        return await self._registry.ask(DeleteQuestion(question_id))


class Approvals(Access):
    """What waits for an admin's word, and what was said."""

    async def create(  # noqa: PLR0913 -- the columns of its row, by name
        self,
        action: str,
        payload: Mapping[str, object],
        *,
        title: str = "",
        options: Sequence[object] = (),
        approval_id: str | None = None,
        request_id: str | None = None,
        session_id: str | None = None,
        agent_group_id: str | None = None,
        address: Address | None = None,
        platform_message_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> PendingApproval:
        """Ask for one; under an id that is taken the earlier one is returned. Raises `NotFound`."""
        return await self._registry.ask(
            CreateApproval(
                action,
                payload,
                title,
                options,
                approval_id,
                request_id,
                session_id,
                agent_group_id,
                address,
                platform_message_id,
                expires_at,
            )
        )

    async def get(self, approval_id: str) -> PendingApproval | None:
        """The one with that id, decided or not."""
        return await self._central.run(pending_approvals.get, approval_id)

    async def for_action(
        self, action: str, status: ApprovalStatus | None = "pending"
    ) -> Sequence[PendingApproval]:
        """Those of an action in a state (None: in any), the oldest first."""
        return await self._central.run(pending_approvals.for_action, action, status)

    async def list(self, status: ApprovalStatus | None = None) -> Sequence[PendingApproval]:
        """All in a state (None: in any), the oldest first."""
        return await self._central.run(pending_approvals.every, status)

    async def decide(
        self, approval_id: str, status: Literal["approved", "rejected"], *, by: str
    ) -> PendingApproval:
        """An admin's word; the first is the last. Raises `NotFound`, `NotAllowed`."""
        return await self._registry.ask(DecideApproval(approval_id, status, by))

    async def expire(self) -> Sequence[PendingApproval]:
        """Let those expire that nobody decided in time; returns them."""
        return await self._registry.ask(ExpireApprovals())

    async def delete(self, approval_id: str) -> PendingApproval:
        """Delete it, decided or not. Raises `NotFound`."""
        return await self._registry.ask(DeleteApproval(approval_id))
