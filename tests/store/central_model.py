"""A model of the central database in plain dictionaries: the rows of its tables, and what they refuse.

It follows contract 3 alone. It raises `Clash` for a constraint of the schema, and the store's own errors for
its refusals.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from attrs import Factory, define, evolve

from nanoclaw.records import (
    AgentDestination,
    AgentGroup,
    ApprovalStatus,
    DestinationType,
    Member,
    MessagingGroup,
    ParkedEvent,
    PendingApproval,
    PendingQuestion,
    Presence,
    Role,
    Session,
    UnregisteredSender,
    User,
    UserDm,
    UserRole,
    Wiring,
)
from nanoclaw.store import NotAllowed, NotFound, StillReferenced
from nanoclaw.store.engine.slugs import distinct, name_of_chat

T = TypeVar("T")
BAD_FOLDERS = {"global", "../up"}
BAD_NAMES = {"", "Not A Slug"}


class Clash(Exception):
    """A violated constraint of the schema."""


def found(rows: dict[Any, T], key: Any) -> T:
    if key not in rows:
        raise NotFound(str(key))
    return rows[key]


def unless_referenced(*references: Iterable[object]) -> None:
    if any(any(True for _ in each) for each in references):
        raise StillReferenced


def add(rows: dict[Any, T], key: Any, row: T) -> None:
    if key in rows:
        raise Clash
    rows[key] = row


def drop(rows: dict[Any, T], condition: Callable[[T], bool]) -> None:
    for key in [key for key, row in rows.items() if condition(row)]:
        del rows[key]


@define
class Model:
    groups: dict[str, AgentGroup] = Factory(dict)
    chats: dict[str, MessagingGroup] = Factory(dict)
    wirings: dict[str, Wiring] = Factory(dict)
    destinations: dict[tuple[str, str], AgentDestination] = Factory(dict)
    users: dict[str, User] = Factory(dict)
    roles: dict[tuple[str, str, str | None], UserRole] = Factory(dict)
    members: dict[tuple[str, str], Member] = Factory(dict)
    dms: dict[tuple[str, str], UserDm] = Factory(dict)
    sessions: dict[str, Session] = Factory(dict)
    parked: dict[str, ParkedEvent] = Factory(dict)
    questions: dict[str, PendingQuestion] = Factory(dict)
    approvals: dict[str, PendingApproval] = Factory(dict)
    unregistered_senders: dict[tuple[str, str, str | None, str], UnregisteredSender] = Factory(dict)

    # -- agents, chats, and what connects them

    def create_group(self, group: AgentGroup) -> None:
        if group.folder in BAD_FOLDERS:
            raise NotAllowed
        if any(other.folder == group.folder for other in self.groups.values()):
            raise Clash
        add(self.groups, group.id, group)

    def update_group(self, id_: str, **changes: Any) -> AgentGroup:
        self.groups[id_] = evolve(found(self.groups, id_), **changes)
        return self.groups[id_]

    def delete_group(self, id_: str) -> AgentGroup:
        group = found(self.groups, id_)
        unless_referenced(
            (w for w in self.wirings.values() if w.agent_group_id == id_),
            (s for s in self.sessions.values() if s.agent_group_id == id_),
            (a for a in self.approvals.values() if a.agent_group_id == id_ and a.status == "pending"),
            (
                d
                for d in self.destinations.values()
                if (d.target_type, d.target_id) == ("agent", id_) and d.agent_group_id != id_
            ),
        )
        drop(self.members, lambda m: m.agent_group_id == id_)
        drop(self.roles, lambda r: r.agent_group_id == id_)
        drop(self.destinations, lambda d: d.agent_group_id == id_)
        drop(self.approvals, lambda a: a.agent_group_id == id_)
        del self.groups[id_]
        return group

    def create_chat(self, chat: MessagingGroup) -> None:
        address = (chat.channel_type, chat.platform_id)
        if any((c.channel_type, c.platform_id) == address for c in self.chats.values()):
            raise Clash
        add(self.chats, chat.id, chat)

    def update_chat(self, id_: str, **changes: Any) -> MessagingGroup:
        self.chats[id_] = evolve(found(self.chats, id_), **changes)
        return self.chats[id_]

    def delete_chat(self, id_: str) -> MessagingGroup:
        chat = found(self.chats, id_)
        unless_referenced(
            (w for w in self.wirings.values() if w.messaging_group_id == id_),
            (s for s in self.sessions.values() if s.messaging_group_id == id_),
            (d for d in self.destinations.values() if (d.target_type, d.target_id) == ("channel", id_)),
        )
        drop(self.dms, lambda dm: dm.messaging_group_id == id_)
        del self.chats[id_]
        return chat

    def create_wiring(self, wiring: Wiring) -> None:
        chat, agent = found(self.chats, wiring.messaging_group_id), wiring.agent_group_id
        found(self.groups, agent)
        if self.pair(chat.id, agent) is not None:
            raise Clash
        add(self.wirings, wiring.id, wiring)
        own = [d for d in self.destinations.values() if d.agent_group_id == agent]
        if ("channel", chat.id) not in {(d.target_type, d.target_id) for d in own}:
            base = name_of_chat(chat.name, chat.channel_type, chat.platform_id)
            name = distinct(base, {d.local_name for d in own})
            self.destinations[agent, name] = AgentDestination(
                agent, name, "channel", chat.id, wiring.created_at, wiring.id
            )

    def pair(self, chat: str, agent: str) -> Wiring | None:
        pairs = {(w.messaging_group_id, w.agent_group_id): w for w in self.wirings.values()}
        return pairs.get((chat, agent))

    def update_wiring(self, id_: str, **changes: Any) -> Wiring:
        self.wirings[id_] = evolve(found(self.wirings, id_), **changes)
        return self.wirings[id_]

    def delete_wiring(self, id_: str) -> Wiring:
        wiring = found(self.wirings, id_)
        drop(self.destinations, lambda d: d.wiring_id == id_)
        del self.wirings[id_]
        return wiring

    def create_destination(self, destination: AgentDestination) -> None:
        if destination.local_name in BAD_NAMES:
            raise NotAllowed
        found(self.groups, destination.agent_group_id)
        targets: dict[DestinationType, dict[str, Any]] = {"channel": self.chats, "agent": self.groups}
        found(targets[destination.target_type], destination.target_id)
        add(self.destinations, (destination.agent_group_id, destination.local_name), destination)

    def rename_destination(self, agent: str, name: str, new_name: str) -> AgentDestination:
        destination = found(self.destinations, (agent, name))
        if new_name in BAD_NAMES:
            raise NotAllowed
        if new_name != name and (agent, new_name) in self.destinations:
            raise Clash
        del self.destinations[agent, name]
        self.destinations[agent, new_name] = evolve(destination, local_name=new_name)
        return self.destinations[agent, new_name]

    def delete_destination(self, agent: str, name: str) -> AgentDestination:
        found(self.destinations, (agent, name))
        return self.destinations.pop((agent, name))

    # -- people

    def create_user(self, user: User) -> None:
        add(self.users, user.id, user)

    def upsert_user(self, user: User) -> None:
        known = self.users.setdefault(user.id, user)
        self.users[user.id] = evolve(known, display_name=user.display_name or known.display_name)

    def update_user(self, id_: str, **changes: Any) -> User:
        self.users[id_] = evolve(found(self.users, id_), **changes)
        return self.users[id_]

    def delete_user(self, id_: str) -> User:
        user = found(self.users, id_)
        unless_referenced(
            (r for r in self.roles.values() if r.granted_by == id_ != r.user_id),
            (m for m in self.members.values() if m.added_by == id_ != m.user_id),
        )
        drop(self.roles, lambda r: r.user_id == id_)
        drop(self.members, lambda m: m.user_id == id_)
        drop(self.dms, lambda dm: dm.user_id == id_)
        del self.users[id_]
        return user

    def grant(self, user: str, role: Role, group: str | None, by: str | None, now: datetime) -> None:
        if role == "owner" and group is not None:
            raise NotAllowed
        self._know(user, by, group)
        self.roles.setdefault((user, role, group), UserRole(user, role, group, by, now))

    def _know(self, user: str, by: str | None, group: str | None) -> None:
        found(self.users, user)
        if by is not None:
            found(self.users, by)
        if group is not None:
            found(self.groups, group)

    def revoke(self, user: str, role: Role, group: str | None) -> bool:
        return self.roles.pop((user, role, group), None) is not None

    def admins(self, group: str) -> list[str]:
        def place(user: str) -> tuple[bool, bool, datetime, str]:
            rights = [r for r in deciding if r.user_id == user]
            return (
                all(r.role != "owner" for r in rights),
                all(r.agent_group_id is not None for r in rights),
                min(r.granted_at for r in rights),
                user,
            )

        deciding = [r for r in self.roles.values() if r.agent_group_id in {None, group}]
        return sorted({r.user_id for r in deciding}, key=place)

    def add_member(self, user: str, group: str, by: str | None, now: datetime) -> None:
        self._know(user, by, group)
        self.members.setdefault((user, group), Member(user, group, by, now))

    def remove_member(self, user: str, group: str) -> bool:
        return self.members.pop((user, group), None) is not None

    def upsert_dm(self, dm: UserDm) -> None:
        found(self.users, dm.user_id)
        found(self.chats, dm.messaging_group_id)
        self.dms[dm.user_id, dm.channel_type] = dm

    def delete_dm(self, user: str, channel: str) -> UserDm:
        found(self.dms, (user, channel))
        return self.dms.pop((user, channel))

    def record_unregistered_sender(
        self, platform_id: str, user: str | None, reason: str, now: datetime
    ) -> None:
        key = ("tg", platform_id, user, reason)
        first = UnregisteredSender("tg", platform_id, user, None, reason, None, None, 0, now, now)
        known = self.unregistered_senders.get(key, first)
        self.unregistered_senders[key] = evolve(known, message_count=known.message_count + 1, last_seen=now)

    def forget_unregistered_sender(self, platform_id: str, user: str | None) -> list[str]:
        reasons = [
            s.reason
            for s in self.unregistered_senders.values()
            if (s.platform_id, s.user_id) == (platform_id, user)
        ]
        drop(self.unregistered_senders, lambda s: (s.platform_id, s.user_id) == (platform_id, user))
        return sorted(reasons)

    # -- conversations

    def find_open(self, group: str, chat: str | None, thread: str | None) -> Session | None:
        place = (group, chat or "", thread or "")
        return next(
            (s for s in self.sessions.values() if _place(s) == place and s.status != "archived"), None
        )

    def create_session(self, session: Session) -> None:
        chat = session.messaging_group_id
        if session.agent_group_id not in self.groups or (chat is not None and chat not in self.chats):
            raise Clash
        if session.status != "archived" and self.find_open(*_place(session)) is not None:
            raise Clash
        add(self.sessions, session.id, session)

    def update_session(self, id_: str, **changes: Any) -> Session:
        session = evolve(found(self.sessions, id_), **changes)
        if session.status != "archived" and self.find_open(*_place(session)) not in {
            None,
            self.sessions[id_],
        }:
            raise Clash
        self.sessions[id_] = session
        return session

    def delete_session(self, id_: str) -> Session:
        session = found(self.sessions, id_)
        if session.status != "archived":
            raise NotAllowed
        unless_referenced(
            (p for p in self.parked.values() if p.session_id == id_),
            (a for a in self.approvals.values() if a.session_id == id_ and a.status == "pending"),
        )
        drop(self.questions, lambda q: q.session_id == id_)
        drop(self.approvals, lambda a: a.session_id == id_)
        del self.sessions[id_]
        return session

    def record_presence(self, news: Iterable[Presence]) -> None:
        for presence in news:
            session = self.sessions.get(presence.session_id)
            if session is not None:
                self.sessions[session.id] = evolve(
                    session,
                    container_status=presence.container_status or session.container_status,
                    last_active=presence.last_active or session.last_active,
                )

    def mark_all_stopped(self) -> None:
        self.record_presence([Presence(id_, "stopped") for id_ in self.sessions])

    def park(self, event: ParkedEvent) -> None:
        if event.session_id not in self.sessions:
            raise Clash
        add(self.parked, event.id, event)

    def unpark(self, ids: Iterable[str]) -> None:
        for id_ in ids:
            self.parked.pop(id_, None)

    def create_question(self, question: PendingQuestion) -> bool:
        found(self.sessions, question.session_id)
        return self.questions.setdefault(question.question_id, question) is question

    def delete_question(self, id_: str) -> PendingQuestion:
        found(self.questions, id_)
        return self.questions.pop(id_)

    def create_approval(self, approval: PendingApproval) -> bool:
        if approval.session_id is not None:
            found(self.sessions, approval.session_id)
        if approval.agent_group_id is not None:
            found(self.groups, approval.agent_group_id)
        return self.approvals.setdefault(approval.approval_id, approval) is approval

    def decide(self, id_: str, status: ApprovalStatus, by: str | None, now: datetime) -> PendingApproval:
        approval = found(self.approvals, id_)
        if approval.status != "pending" or status == "pending":
            raise NotAllowed
        self.approvals[id_] = evolve(approval, status=status, decided_by=by, decided_at=now)
        return self.approvals[id_]

    def expire(self, now: datetime) -> list[PendingApproval]:
        late = [
            (a.expires_at, a.approval_id)
            for a in self.approvals.values()
            if a.status == "pending" and a.expires_at is not None and a.expires_at <= now
        ]
        return [self.decide(id_, "expired", None, now) for _, id_ in sorted(late)]

    def delete_approval(self, id_: str) -> PendingApproval:
        found(self.approvals, id_)
        return self.approvals.pop(id_)


def _place(session: Session) -> tuple[str, str, str]:
    return (session.agent_group_id, session.messaging_group_id or "", session.thread_id or "")
