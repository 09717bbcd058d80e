"""Withdraws requests to let in a sender or a chat that was let in otherwise in the meantime."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from attrs import evolve, frozen

from nanoclaw.approvals.kinds.chat import ADMIT_CHAT
from nanoclaw.approvals.kinds.sender import ADMIT_SENDER
from nanoclaw.records import PendingApproval
from nanoclaw.registry import Registry
from nanoclaw.routing.access import refusal
from nanoclaw.store import Connection
from nanoclaw.store.central import members, messaging_groups, pending_approvals, people, user_roles, wirings

WIRED = "an agent was wired to the chat"
PUBLIC = "the chat lets everybody in"
LET_IN = "they were let in"
"""The reasons, as cards show them. `LET_IN` is followed by who did it."""


@frozen
class WithdrawNeedless:
    """Withdraw the requests about senders and chats that nobody needs to let in any more."""

    async def handle(self, actor: Registry) -> Sequence[PendingApproval]:
        """Withdraw them in one transaction, and return them. Their cards are edited after it."""
        withdrawn = await actor.commit(self._withdraw, actor)
        actor.changes.tell_approvals()
        return withdrawn

    def _withdraw(self, connection: Connection, actor: Registry) -> list[PendingApproval]:
        now = actor.clock.now()
        return [
            actor.approvals.close(connection, evolve(each, decided_at=now), {}, now)
            for each in needless(connection)
        ]


def needless(connection: Connection) -> list[PendingApproval]:
    """Return the open requests that need no decision, as withdrawn: why, and by whom if that is known."""
    return [*_of_senders(connection), *_of_chats(connection)]


def _of_senders(connection: Connection) -> Iterator[PendingApproval]:
    for each in pending_approvals.for_action(connection, ADMIT_SENDER):
        user, agents = str(each.payload.get("user")), _agents(each)
        chat = messaging_groups.get(connection, str(each.payload.get("chat")))
        if chat is None or not agents or any(refusal(connection, chat, agent, user) for agent in agents):
            continue
        by_right = all(members.is_member(connection, user, agent) for agent in agents)
        by = _let_in_by(connection, user, agents) if by_right else None
        yield evolve(each, status="withdrawn", note=LET_IN if by_right else PUBLIC, decided_by=by)


def _of_chats(connection: Connection) -> Iterator[PendingApproval]:
    for each in pending_approvals.for_action(connection, ADMIT_CHAT):
        if wirings.for_chat(connection, str(each.payload.get("chat"))):
            yield evolve(each, status="withdrawn", note=WIRED)


def _agents(approval: PendingApproval) -> Sequence[str]:
    agents = approval.payload.get("agents")
    return [str(id_) for id_ in agents] if isinstance(agents, list | tuple) else []


def _let_in_by(connection: Connection, user: str, agents: Sequence[str]) -> str | None:
    """Return who gave the newest of the rights by which these agents hear a person."""
    given = list[tuple[datetime, str | None]]()
    for identity in people.identities(connection, user):
        link = people.get(connection, identity)
        given += [(link.linked_at, link.linked_by)] if link else []
        for member in members.for_user(connection, identity):
            given += [(member.added_at, member.added_by)] if member.agent_group_id in agents else []
        for role in user_roles.for_user(connection, identity):
            given += [(role.granted_at, role.granted_by)] if role.agent_group_id in {None, *agents} else []
    return max(given, key=lambda each: each[0])[1] if given else None
