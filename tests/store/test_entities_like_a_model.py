"""Compares random sequences of all entity functions with a model: results, refusals and tables are equal.

Choices are uniform, from a seed. The rule-based machines of hypothesis spend most steps on missing rows.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import apsw
import pytest

from nanoclaw.records import (
    AgentDestination,
    AgentGroup,
    ApprovalStatus,
    MessagingGroup,
    ParkedEvent,
    PendingApproval,
    PendingQuestion,
    Presence,
    Role,
    Session,
    User,
    UserDm,
    Wiring,
)
from nanoclaw.store import OperationRefused
from nanoclaw.store.central import (
    agent_groups,
    destinations,
    members,
    messaging_groups,
    parked_events,
    pending_approvals,
    pending_questions,
    sessions,
    unregistered_senders,
    user_dms,
    user_roles,
    users,
    wirings,
)
from tests.store.central_model import Clash, Model
from tests.store.old_databases import CENTRAL, bring_to, made_by_hand
from tests.store.openings import NOW

F = TypeVar("F", bound=Callable[..., None])

# -- what the steps draw from: few values, so that they meet


def ids(prefix: str, n: int = 3) -> tuple[str, ...]:
    return tuple(f"{prefix}{i}" for i in range(n))


def maybe(values: Sequence[Any]) -> tuple[Any, ...]:
    return (None, *values)


def some(**optional: Sequence[Any]) -> Callable[[Random], dict[str, Any]]:
    """Draw changes of some fields, or of none."""
    return lambda random: {
        name: random.choice(values) for name, values in optional.items() if random.random() < 0.5
    }


def news(random: Random) -> list[Presence]:
    status, moment = maybe(["starting", "running", "stopped"]), maybe(TIMES)
    return [
        Presence(random.choice(SESSIONS), random.choice(status), random.choice(moment))
        for _ in range(random.randrange(4))
    ]


Draw = Sequence[Any] | Callable[[Random], Any]
STEPS: dict[str, dict[str, Draw]] = {}


def step(**draws: Draw) -> Callable[[F], F]:
    """Make the method a step whose arguments are drawn from these strategies."""

    def register(method: F) -> F:
        STEPS[method.__name__] = draws
        return method

    return register


GROUPS, CHATS, USERS, SESSIONS = ids("a"), ids("c"), ids("t:u"), ids("s", 4)
WIRINGS, QUESTIONS, APPROVALS, PARKED = ids("w"), ids("q"), ids("p"), ids("e")
TIMES = [NOW + timedelta(minutes=n) for n in range(3)]
THREADS = (None, "", "t")
NAMES = ("Team", "team!", "Family", None)
FOLDERS = ("one", "two", "three", "global", "../up")
LOCAL_NAMES = ("team", "team-2", "family", "other", "", "Not A Slug")
TARGETS = [*(("channel", id_) for id_ in (*CHATS, "a0")), *(("agent", id_) for id_ in (*GROUPS, "c0"))]
RULES: Sequence[dict[str, object]] = ({}, {"pattern": "^hi"}, {"includeSenders": ["t:u0"]})
ROLES = ("owner", "admin")
STATUSES = ("active", "paused", "archived", "archived")
DECISIONS = ("approved", "rejected", "expired", "pending")


def outcome(call: Callable[[], object]) -> object:
    """Return the result of a call, or the type of its refusal."""
    try:
        return call()
    except OperationRefused as error:
        return type(error)
    except (Clash, apsw.ConstraintError):
        return Clash


def by_age(rows: Any, id_: str = "id") -> list[Any]:
    return sorted(rows, key=lambda row: (row.created_at, getattr(row, id_)))


def schema() -> Iterator[str]:
    with made_by_hand(Path(":memory:")) as connection:
        bring_to(connection, CENTRAL)
        for (sql,) in connection.execute(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type = 'index'"
        ):
            yield str(sql)


SCHEMA = ";\n".join(schema())


class Central:
    def __init__(self) -> None:
        self.model = Model()
        self.opened = made_by_hand(Path(":memory:"))
        self.db = self.opened.__enter__()
        self.db.execute(SCHEMA).fetchall()
        self.db.execute("PRAGMA foreign_keys = ON").fetchall()

    def close(self) -> None:
        self.opened.__exit__(None, None, None)

    def same(self, store: Callable[..., object], model: Callable[[], object], *args: object) -> None:
        def transaction() -> object:
            returned: list[object] = []
            with self.db:
                returned.append(store(self.db, *args))
            return returned[0]

        assert outcome(transaction) == outcome(model)

    # -- agents, chats, and what connects them

    @step(id_=GROUPS, name=NAMES, folder=FOLDERS, at=TIMES)
    def create_group(self, id_: str, name: str | None, folder: str, at: datetime) -> None:
        group = AgentGroup(id_, name or "x", folder, None, at)
        self.same(agent_groups.create, lambda: self.model.create_group(group), group)

    @step(id_=GROUPS)
    def delete_group(self, id_: str) -> None:
        self.same(agent_groups.delete, lambda: self.model.delete_group(id_), id_)

    @step(id_=CHATS, platform=ids("tg:"), name=NAMES, at=TIMES)
    def create_chat(self, id_: str, platform: str, name: str | None, at: datetime) -> None:
        chat = MessagingGroup(id_, "tg", platform, name, True, "strict", at)  # noqa: FBT003 -- a row
        self.same(messaging_groups.create, lambda: self.model.create_chat(chat), chat)

    @step(id_=CHATS)
    def delete_chat(self, id_: str) -> None:
        self.same(messaging_groups.delete, lambda: self.model.delete_chat(id_), id_)

    @step(id_=WIRINGS, chat=CHATS, agent=GROUPS, rules=RULES, at=TIMES)
    def create_wiring(self, id_: str, chat: str, agent: str, rules: dict[str, Any], at: datetime) -> None:
        wiring = Wiring(id_, chat, agent, rules, "all", "shared", 0, at)
        self.same(wirings.create, lambda: self.model.create_wiring(wiring), wiring)

    @step(id_=WIRINGS)
    def delete_wiring(self, id_: str) -> None:
        self.same(wirings.delete, lambda: self.model.delete_wiring(id_), id_)

    # -- what there is

    def look(self) -> None:
        self.agents_and_chats_are_the_same()
        self.people_are_the_same()
        self.conversations_are_the_same()
        self.nothing_dangles()

    def agents_and_chats_are_the_same(self) -> None:
        db, model = self.db, self.model
        assert agent_groups.every(db) == by_age(model.groups.values())
        assert messaging_groups.every(db) == by_age(model.chats.values())
        assert wirings.every(db) == by_age(model.wirings.values())
        for id_ in ("a0", "a1"):
            assert agent_groups.get(db, id_) == model.groups.get(id_)
            mine = [w for w in model.wirings.values() if w.agent_group_id == id_]
            assert wirings.for_agent(db, id_) == by_age(mine)
            assert wirings.by_pair(db, "c0", id_) == model.pair("c0", id_)
            assert destinations.of_agent(db, id_) == [
                d for _, d in sorted(model.destinations.items()) if d.agent_group_id == id_
            ]
            assert destinations.to_target(db, "agent", id_) == [
                d
                for _, d in sorted(model.destinations.items())
                if (d.target_type, d.target_id) == ("agent", id_)
            ]

    def people_are_the_same(self) -> None:
        db, model = self.db, self.model
        assert users.every(db) == by_age(model.users.values())
        assert {(r.user_id, r.role, r.agent_group_id): r for r in user_roles.every(db)} == model.roles
        assert len(user_roles.every(db)) == len(model.roles)
        found = unregistered_senders.every(db)
        assert {
            (s.channel_type, s.platform_id, s.user_id, s.reason): s for s in found
        } == model.unregistered_senders
        admins = user_roles.admins(db, "a0")
        assert admins == model.admins("a0")
        assert {(m.user_id, m.agent_group_id): m for m in members.for_agent(db, "a0")} == {
            key: m for key, m in model.members.items() if key[1] == "a0"
        }
        for id_ in ("t:u0", "t:u1"):
            assert [m.agent_group_id for m in members.for_user(db, id_)] == [
                m.agent_group_id
                for m in sorted(model.members.values(), key=lambda m: (m.added_at, m.agent_group_id))
                if m.user_id == id_
            ]
            assert members.is_member(db, id_, "a0") == (id_ in admins or (id_, "a0") in model.members)
            assert user_dms.for_user(db, id_) == [d for key, d in sorted(model.dms.items()) if key[0] == id_]

    def conversations_are_the_same(self) -> None:
        db, model = self.db, self.model
        there = by_age(model.sessions.values())
        assert sessions.every(db) == there
        assert sessions.every(db, "paused") == [s for s in there if s.status == "paused"]
        assert sessions.open_ones(db) == [s for s in there if s.status != "archived"]
        assert sessions.running(db) == [s for s in there if s.container_status != "stopped"]
        assert sessions.for_agent(db, "a0") == [s for s in there if s.agent_group_id == "a0"]
        for place in (("a0", None, None), ("a0", "c0", None), ("a0", "c0", "t")):
            assert sessions.find_open(db, *place) == model.find_open(*place)
        assert parked_events.every(db) == list(model.parked.values())
        assert pending_questions.every(db) == by_age(model.questions.values(), "question_id")
        assert pending_approvals.every(db) == by_age(model.approvals.values(), "approval_id")
        assert pending_approvals.for_action(db, "act0") == by_age(
            (a for a in model.approvals.values() if (a.action, a.status) == ("act0", "pending")),
            "approval_id",
        )

    def nothing_dangles(self) -> None:
        assert self.db.execute("PRAGMA foreign_key_check").fetchall() == []

    @step(id_=GROUPS, changes=some(name=ids("n"), agent_provider=NAMES))
    def update_group(self, id_: str, changes: dict[str, Any]) -> None:
        self.same(agent_groups.update, lambda: self.model.update_group(id_, **changes), id_, changes)

    @step(
        id_=CHATS,
        changes=some(
            name=NAMES,
            is_group=(True, False),
            unknown_sender_policy=("strict", "public"),
        ),
    )
    def update_chat(self, id_: str, changes: dict[str, Any]) -> None:
        self.same(messaging_groups.update, lambda: self.model.update_chat(id_, **changes), id_, changes)

    @step(
        id_=WIRINGS,
        changes=some(
            trigger_rules=RULES,
            response_scope=["all", "triggered"],
            session_mode=["shared", "per-thread"],
            priority=range(3),
        ),
    )
    def update_wiring(self, id_: str, changes: dict[str, Any]) -> None:
        self.same(wirings.update, lambda: self.model.update_wiring(id_, **changes), id_, changes)

    @step(agent=GROUPS, name=LOCAL_NAMES, to=TARGETS, at=TIMES)
    def create_destination(self, agent: str, name: str, to: tuple[Any, str], at: datetime) -> None:
        destination = AgentDestination(agent, name, *to, at)
        self.same(destinations.create, lambda: self.model.create_destination(destination), destination)

    @step(agent=GROUPS, name=LOCAL_NAMES, new_name=LOCAL_NAMES)
    def rename_destination(self, agent: str, name: str, new_name: str) -> None:
        names = (agent, name, new_name)
        self.same(destinations.rename, lambda: self.model.rename_destination(*names), *names)

    @step(agent=GROUPS, name=LOCAL_NAMES)
    def delete_destination(self, agent: str, name: str) -> None:
        self.same(destinations.delete, lambda: self.model.delete_destination(agent, name), agent, name)

    # -- people

    @step(id_=USERS, name=NAMES, at=TIMES, store=["create", "upsert"])
    def put_user(self, id_: str, name: str | None, at: datetime, store: str) -> None:
        user = User(id_, "t", name, at)
        model = self.model.create_user if store == "create" else self.model.upsert_user
        self.same(getattr(users, store), lambda: model(user), user)

    @step(id_=USERS, name=NAMES)
    def update_user(self, id_: str, name: str | None) -> None:
        changes = {"display_name": name}
        self.same(users.update, lambda: self.model.update_user(id_, **changes), id_, changes)

    @step(id_=USERS)
    def delete_user(self, id_: str) -> None:
        self.same(users.delete, lambda: self.model.delete_user(id_), id_)

    @step(user=USERS, role=ROLES, group=maybe(GROUPS), by=maybe(USERS), at=TIMES)
    def grant(self, user: str, role: Role, group: str | None, by: str | None, at: datetime) -> None:
        grant = (user, role, group, by, at)
        self.same(user_roles.grant, lambda: self.model.grant(*grant), *grant)

    @step(user=USERS, role=ROLES, group=maybe(GROUPS))
    def revoke(self, user: str, role: Role, group: str | None) -> None:
        self.same(user_roles.revoke, lambda: self.model.revoke(user, role, group), user, role, group)

    @step(user=USERS, group=GROUPS, by=maybe(USERS), at=TIMES)
    def add_member(self, user: str, group: str, by: str | None, at: datetime) -> None:
        self.same(members.add, lambda: self.model.add_member(user, group, by, at), user, group, by, at)

    @step(user=USERS, group=GROUPS)
    def remove_member(self, user: str, group: str) -> None:
        self.same(members.remove, lambda: self.model.remove_member(user, group), user, group)

    @step(user=USERS, channel=ids("ch", 2), chat=CHATS, at=TIMES)
    def upsert_dm(self, user: str, channel: str, chat: str, at: datetime) -> None:
        dm = UserDm(user, channel, chat, at)
        self.same(user_dms.upsert, lambda: self.model.upsert_dm(dm), dm)

    @step(user=USERS, channel=ids("ch", 2))
    def delete_dm(self, user: str, channel: str) -> None:
        self.same(user_dms.delete, lambda: self.model.delete_dm(user, channel), user, channel)

    @step(platform=ids("tg:"), user=maybe(USERS), reason=ids("r", 2), at=TIMES)
    def record_unregistered_sender(self, platform: str, user: str | None, reason: str, at: datetime) -> None:
        unregistered_senders.record(
            self.db,
            channel_type="tg",
            platform_id=platform,
            user_id=user,
            sender_name=None,
            reason=reason,
            messaging_group_id=None,
            agent_group_id=None,
            now=at,
        )
        self.model.record_unregistered_sender(platform, user, reason, at)

    @step(platform=ids("tg:"), user=maybe(USERS))
    def forget_unregistered_sender(self, platform: str, user: str | None) -> None:
        model = lambda: self.model.forget_unregistered_sender(platform, user)  # noqa: E731 -- as in all rules
        self.same(unregistered_senders.forget, model, "tg", platform, user)

    # -- conversations

    @step(id_=SESSIONS, group=GROUPS, chat=maybe(CHATS), thread=THREADS, status=STATUSES, at=TIMES)
    def create_session(
        self, *, id_: str, group: str, chat: str | None, thread: str | None, status: Any, at: datetime
    ) -> None:
        session = Session(id_, group, chat, thread, None, status, "stopped", None, at)
        self.same(sessions.create, lambda: self.model.create_session(session), session)

    @step(
        id_=SESSIONS,
        changes=some(status=STATUSES, agent_provider=NAMES),
    )
    def update_session(self, id_: str, changes: dict[str, Any]) -> None:
        self.same(sessions.update, lambda: self.model.update_session(id_, **changes), id_, changes)

    @step(id_=SESSIONS)
    def delete_session(self, id_: str) -> None:
        self.same(sessions.delete, lambda: self.model.delete_session(id_), id_)

    @step(news=news)
    def record_presence(self, news: list[Presence]) -> None:
        self.same(sessions.record_presence, lambda: self.model.record_presence(news), news)

    @step()
    def mark_all_stopped(self) -> None:
        self.same(sessions.mark_all_stopped, self.model.mark_all_stopped)

    @step(id_=PARKED, session=SESSIONS)
    def park(self, id_: str, session: str) -> None:
        event = ParkedEvent(id_, session, "{}", "disk", NOW)
        self.same(parked_events.park, lambda: self.model.park(event), event)

    @step(gone=[[], *([id_] for id_ in PARKED), PARKED])
    def unpark(self, gone: Sequence[str]) -> None:
        self.same(parked_events.remove, lambda: self.model.unpark(gone), gone)

    @step(id_=QUESTIONS, session=SESSIONS, options=[(), ("yes", {"label": "no"})], at=TIMES)
    def create_question(self, id_: str, session: str, options: tuple[object, ...], at: datetime) -> None:
        question = PendingQuestion(id_, session, "out-1", "tg:1", "tg", None, "Well?", options, at)
        self.same(pending_questions.create, lambda: self.model.create_question(question), question)

    @step(id_=QUESTIONS)
    def delete_question(self, id_: str) -> None:
        self.same(pending_questions.delete, lambda: self.model.delete_question(id_), id_)

    @step(
        id_=APPROVALS,
        session=maybe(SESSIONS),
        group=maybe(GROUPS),
        action=ids("act", 2),
        expires=maybe(TIMES),
        at=TIMES,
    )
    def create_approval(
        self,
        *,
        id_: str,
        session: str | None,
        group: str | None,
        action: str,
        expires: datetime | None,
        at: datetime,
    ) -> None:
        approval = PendingApproval(
            id_, session, "r", action, {"package": id_}, at, group, expires_at=expires, options=("ok",)
        )
        self.same(pending_approvals.create, lambda: self.model.create_approval(approval), approval)

    @step(id_=APPROVALS, status=DECISIONS, by=maybe(USERS), at=TIMES)
    def decide(self, id_: str, status: ApprovalStatus, by: str | None, at: datetime) -> None:
        word = (id_, status, by, at)
        self.same(pending_approvals.decide, lambda: self.model.decide(*word), *word)

    @step(at=TIMES)
    def expire(self, at: datetime) -> None:
        self.same(pending_approvals.expire, lambda: self.model.expire(at), at)

    @step(id_=APPROVALS)
    def delete_approval(self, id_: str) -> None:
        self.same(pending_approvals.delete, lambda: self.model.delete_approval(id_), id_)


@pytest.mark.parametrize("seed", range(24))
def test_any_sequence_of_entity_functions_matches_the_model(seed: int) -> None:
    random, central = Random(seed), Central()
    weights = [1 if name.startswith("delete") else 3 for name in STEPS]
    try:
        for n, name in enumerate(random.choices(list(STEPS), weights, k=600)):
            drawn = {
                key: draw(random) if callable(draw) else random.choice(draw)
                for key, draw in STEPS[name].items()
            }
            getattr(central, name)(**drawn)
            if n % 10 == 9:
                central.look()
    finally:
        central.close()
