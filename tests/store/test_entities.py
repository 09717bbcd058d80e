from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.records import (
    Address,
    AgentGroup,
    MessagingGroup,
    ParkedEvent,
    PendingApproval,
    Presence,
    Session,
    User,
    Wiring,
)
from nanoclaw.store import NotAllowed
from nanoclaw.store.central import (
    agent_groups,
    destinations,
    members,
    messaging_groups,
    meta,
    parked_events,
    pending_approvals,
    pending_questions,
    sessions,
    unregistered_senders,
    user_roles,
    users,
    wirings,
)
from nanoclaw.store.engine.migrations import apply_central
from nanoclaw.store.engine.rows import DamagedRow
from nanoclaw.store.engine.slugs import distinct, name_of_chat, slug
from tests.store.old_databases import CENTRAL, made_by_hand
from tests.store.openings import NOW

AGENT = AgentGroup("ag-1", "One", "one", None, NOW)
CHAT = MessagingGroup("mg-1", "tg", "tg:1", "Family chat", True, "request_approval", NOW)  # noqa: FBT003 -- a row
WIRING = Wiring("w-1", "mg-1", "ag-1", {"pattern": "^hi"}, "triggered", "per-thread", 3, NOW)
SESSION = Session("s-1", "ag-1", "mg-1", None, "echo", "active", "stopped", None, NOW)


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    with made_by_hand(Path(":memory:")) as connection:
        for migration in CENTRAL:
            apply_central(connection, migration)
        connection.execute("PRAGMA foreign_keys = ON").fetchall()
        agent_groups.create(connection, AGENT)
        messaging_groups.create(connection, CHAT)
        yield connection


def test_an_agent_group_is_read_back_as_it_was_stored(db: apsw.Connection) -> None:
    assert agent_groups.get(db, "ag-1") == AGENT
    assert agent_groups.by_folder(db, "one") == AGENT
    assert agent_groups.every(db) == [AGENT]
    assert agent_groups.get(db, "ag-2") is None


def test_a_folder_belongs_to_one_agent_group(db: apsw.Connection) -> None:
    with pytest.raises(apsw.ConstraintError):
        agent_groups.create(db, evolve(AGENT, id="ag-2"))


def test_a_chat_is_found_by_its_address(db: apsw.Connection) -> None:
    assert messaging_groups.get(db, "mg-1") == CHAT
    assert messaging_groups.by_address(db, "tg", "tg:1") == CHAT
    assert messaging_groups.by_address(db, "irc", "tg:1") is None


def test_a_row_that_breaks_the_contract_is_named(db: apsw.Connection) -> None:
    db.execute("UPDATE messaging_groups SET unknown_sender_policy = 'maybe'")
    with pytest.raises(DamagedRow, match="unknown_sender_policy"):
        messaging_groups.get(db, "mg-1")


# -- wirings and destinations --------------------------------------------------


def test_creating_a_wiring_creates_its_destination(db: apsw.Connection) -> None:
    wirings.create(db, WIRING)
    assert wirings.for_chat(db, "mg-1") == [WIRING]
    (destination,) = destinations.for_agent(db, "ag-1")
    assert (destination.name, destination.display_name, destination.type) == (
        "family-chat",
        "Family chat",
        "channel",
    )
    assert (destination.channel_type, destination.platform_id) == ("tg", "tg:1")


def test_wirings_are_ordered_by_priority_and_then_by_age(db: apsw.Connection) -> None:
    for n, priority in enumerate((0, 5, 5)):
        agent_groups.create(db, evolve(AGENT, id=f"ag-w{n}", folder=f"w{n}"))
        created = NOW - timedelta(days=n)
        wirings.create(
            db, evolve(WIRING, id=f"w-{n}", agent_group_id=f"ag-w{n}", priority=priority, created_at=created)
        )
    assert [wiring.id for wiring in wirings.for_chat(db, "mg-1")] == ["w-2", "w-1", "w-0"]


def test_a_wiring_may_have_no_rules(db: apsw.Connection) -> None:
    wirings.create(db, WIRING)
    db.execute("UPDATE messaging_group_agents SET trigger_rules = NULL, session_mode = NULL")
    (wiring,) = wirings.for_chat(db, "mg-1")
    assert (wiring.trigger_rules, wiring.session_mode) == ({}, "shared")


def test_chats_with_the_same_name_are_numbered_within_an_agent(db: apsw.Connection) -> None:
    for n in range(3):
        chat = evolve(CHAT, id=f"mg-x{n}", platform_id=f"x{n}", name="Team!")
        messaging_groups.create(db, chat)
        wirings.create(db, evolve(WIRING, id=f"w-{n}", messaging_group_id=chat.id))
    assert [d.name for d in destinations.for_agent(db, "ag-1")] == ["team", "team-2", "team-3"]


def test_a_chat_with_a_destination_gets_no_second_one(db: apsw.Connection) -> None:
    destinations.add_chat(db, "ag-1", "mg-1", NOW)
    wirings.create(db, WIRING)
    assert len(destinations.for_agent(db, "ag-1")) == 1


def test_an_agent_may_write_only_to_its_destinations_and_itself(db: apsw.Connection) -> None:
    agent_groups.create(db, evolve(AGENT, id="ag-2", folder="two"))
    agent_groups.create(db, evolve(AGENT, id="ag-3", folder="three"))
    wirings.create(db, WIRING)
    db.execute("INSERT INTO agent_destinations VALUES ('ag-1', 'two', 'agent', 'ag-2', '2026-01-01', NULL)")
    allowed = [
        address
        for address in (
            Address("tg", "tg:1"),
            Address("tg", "tg:1", "any-thread"),
            Address("tg", "tg:2"),
            Address("irc", "tg:1"),
            Address("agent", "ag-1"),
            Address("agent", "ag-2"),
            Address("agent", "ag-3"),
            Address("agent", "mg-1"),
            Address("tg", "ag-2"),
        )
        if destinations.allows(db, "ag-1", address)
    ]
    assert allowed == [
        Address("tg", "tg:1"),
        Address("tg", "tg:1", "any-thread"),
        Address("agent", "ag-1"),
        Address("agent", "ag-2"),
    ]
    assert {d.name: d.agent_group_id for d in destinations.for_agent(db, "ag-1")}["two"] == "ag-2"


@given(st.text(), st.text(), st.text())
def test_every_chat_gets_a_name_in_the_contracts_alphabet(name: str, channel: str, platform: str) -> None:
    made = name_of_chat(name, channel, platform)
    assert made
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug(made) == made


@given(st.lists(st.sampled_from(["a", "a-2", "b"]), max_size=8))
def test_generated_names_are_always_different(wanted: list[str]) -> None:
    taken: list[str] = []
    for name in wanted:
        taken.append(distinct(name, taken))
    assert len(set(taken)) == len(taken)


# -- people --------------------------------------------------------------------


def test_a_user_keeps_its_name_if_an_update_has_none(db: apsw.Connection) -> None:
    users.upsert(db, User("tg:9", "tg", "Nine", NOW))
    users.upsert(db, User("tg:9", "tg", None, NOW + timedelta(days=1)))
    assert users.get(db, "tg:9") == User("tg:9", "tg", "Nine", NOW)
    users.upsert(db, User("tg:9", "tg", "Nina", NOW))
    assert users.get(db, "tg:9") == User("tg:9", "tg", "Nina", NOW)


def test_roles_determine_which_users_may_decide_and_talk(db: apsw.Connection) -> None:
    agent_groups.create(db, evolve(AGENT, id="ag-2", folder="two"))
    for user in ("owner", "global", "of-1", "of-2", "member", "unregistered"):
        users.upsert(db, User(user, "t", None, NOW))
    user_roles.grant(db, "of-1", "admin", "ag-1", "owner", NOW)
    user_roles.grant(db, "of-2", "admin", "ag-2", None, NOW)
    user_roles.grant(db, "global", "admin", None, None, NOW)
    user_roles.grant(db, "owner", "owner", None, None, NOW)
    members.add(db, "member", "ag-1", "owner", NOW)
    members.add(db, "member", "ag-1", "owner", NOW)

    assert user_roles.admins(db, "ag-1") == ["owner", "global", "of-1"]
    everybody = ("owner", "global", "of-1", "of-2", "member", "unregistered")
    assert [u for u in everybody if members.is_member(db, u, "ag-1")] == ["owner", "global", "of-1", "member"]
    assert [u for u in everybody if user_roles.is_owner(db, u)] == ["owner"]
    assert [u for u in everybody if user_roles.is_global_admin(db, u)] == ["global"]
    assert [u for u in everybody if user_roles.is_admin_of(db, u, "ag-1")] == ["of-1"]


def test_granting_a_right_twice_stores_it_once(db: apsw.Connection) -> None:
    users.upsert(db, User("u", "t", None, NOW))
    for _ in range(2):
        user_roles.grant(db, "u", "owner", None, None, NOW)
        user_roles.grant(db, "u", "admin", "ag-1", None, NOW)
    assert db.execute("SELECT count(*) FROM user_roles").get == 2
    with pytest.raises(NotAllowed, match="always global"):
        user_roles.grant(db, "u", "owner", "ag-1", None, NOW)


def test_unregistered_senders_are_counted_by_sender_and_reason(db: apsw.Connection) -> None:
    def seen(user_id: str | None, reason: str) -> None:
        unregistered_senders.record(
            db,
            channel_type="tg",
            platform_id="tg:1",
            user_id=user_id,
            sender_name=None,
            reason=reason,
            messaging_group_id=None,
            agent_group_id=None,
            now=NOW,
        )

    for user_id, reason in [("a", "r"), ("a", "r"), ("b", "r"), ("a", "s"), (None, "r"), (None, "r")]:
        seen(user_id, reason)
    counts = db.execute("SELECT user_id, reason, message_count FROM unregistered_senders").fetchall()
    assert sorted(counts, key=str) == sorted(
        [("a", "r", 2), ("b", "r", 1), ("a", "s", 1), (None, "r", 2)], key=str
    )


# -- sessions ------------------------------------------------------------------


def test_a_session_is_found_by_its_place(db: apsw.Connection) -> None:
    threaded = evolve(SESSION, id="s-2", thread_id="t")
    shared = evolve(SESSION, id="s-3", messaging_group_id=None)
    for session in (SESSION, threaded, shared):
        sessions.create(db, session)
    assert sessions.get(db, "s-1") == SESSION
    assert sessions.find_open(db, "ag-1", "mg-1", None) == SESSION
    assert sessions.find_open(db, "ag-1", "mg-1", "t") == threaded
    assert sessions.find_open(db, "ag-1", "mg-1", "u") is None
    assert sessions.find_shared(db, "ag-1") == shared
    assert len(sessions.open_ones(db)) == 3


def test_a_place_has_one_open_session_and_any_number_of_archived_ones(db: apsw.Connection) -> None:
    sessions.create(db, SESSION)
    with pytest.raises(apsw.ConstraintError):
        sessions.create(db, evolve(SESSION, id="s-2", status="paused"))
    db.execute("UPDATE sessions SET status = 'archived'")
    assert sessions.find_open(db, "ag-1", "mg-1", None) is None
    sessions.create(db, evolve(SESSION, id="s-2"))
    assert [session.id for session in sessions.open_ones(db)] == ["s-2"]


def test_container_status_and_last_activity_are_recorded(db: apsw.Connection) -> None:
    sessions.create(db, SESSION)
    sessions.record_presence(db, [Presence("s-1", "running"), Presence("s-1", last_active=NOW)])
    sessions.record_presence(db, [Presence("s-none", "running", NOW)])
    assert sessions.get(db, "s-1") == evolve(SESSION, container_status="running", last_active=NOW)


def test_parked_events_are_read_back_unchanged_and_in_order(db: apsw.Connection) -> None:
    sessions.create(db, SESSION)
    events = [ParkedEvent(f"p-{n}", "s-1", f'{{"n": {n}}}', "disk", NOW) for n in (2, 1, 3)]
    for event in events:
        parked_events.park(db, event)
    assert parked_events.for_session(db, "s-1") == events
    parked_events.remove(db, ["p-2", "p-3", "p-none"])
    assert parked_events.for_session(db, "s-1") == [events[1]]


def test_meta_keeps_the_latest_value(db: apsw.Connection) -> None:
    assert meta.get(db, "k") is None
    meta.put(db, "k", "1")
    meta.put(db, "k", "2")
    assert meta.get(db, "k") == "2"


def test_the_questions_of_a_chat_are_found_by_an_index(db: apsw.Connection) -> None:
    """The router reads them for each new chat, and a session may have a hundred waiting."""
    plans: list[str] = []

    def explain(_cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        db.set_exec_trace(None)
        plans.extend(step for *_, step in db.execute(f"EXPLAIN QUERY PLAN {sql}", bindings))
        return True

    db.set_exec_trace(explain)
    pending_questions.in_chat(db, Address("tg", "tg:1"))
    assert "idx_pending_questions_chat" in plans[0]


def test_an_approval_of_a_date_that_was_set_back_expires_after_its_own_length(db: apsw.Connection) -> None:
    ahead, hour = NOW + timedelta(days=1), timedelta(hours=1)
    asked = PendingApproval("a-1", None, "r", "x", {}, ahead, expires_at=ahead + hour)
    pending_approvals.create(db, asked)
    pending_approvals.date_back(db, NOW)
    assert pending_approvals.require(db, "a-1").expires_at == NOW + hour
    assert [one.approval_id for one in pending_approvals.expire(db, NOW + hour)] == ["a-1"]
