"""Kept parts of plans: after any commit, a plan is the one that would be read anew."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import apsw
import pytest
from attrs import define, frozen

from nanoclaw.records import Address, ChatMessage, InboundEvent, MessagingGroup
from nanoclaw.registry import Registry
from nanoclaw.routing import plan_cache
from nanoclaw.routing.plan import Plan, Plans, composed
from nanoclaw.routing.plan_cache import UNREAD, PlanCache
from nanoclaw.routing.plan_parts import ChatPart, Parts, SenderPart, read_parts
from nanoclaw.store import Reader
from nanoclaw.store.central import members
from nanoclaw.store.engine.row_changes import MOST_ROWS, Changed, followed
from tests.registry.office import Office, an_office
from tests.store.openings import NOW

THEN = "2026-01-01T00:00:00.000Z"
USERS = ("tg:ann", "tg:bob", "tg:cleo")
CHATS = ("team", "club", "dm")
AGENTS = ("one", "two")
FIRST = """
    INSERT INTO agent_groups VALUES ('one', 'One', 'one', NULL, :then), ('two', 'Two', 'two', NULL, :then);
    INSERT INTO messaging_groups VALUES
      ('team', 'tg', 'team', 'Team', 1, 'strict', :then),
      ('club', 'tg', 'club', 'Club', 1, 'public', :then),
      ('dm', 'tg', 'dm', 'Ann', 0, 'request_approval', :then);
    INSERT INTO users VALUES
      ('tg:ann', 'tg', 'Ann', :then), ('tg:bob', 'tg', 'Bob', :then), ('tg:cleo', 'tg', NULL, :then);
    """
MOVES = (
    "UPDATE users SET display_name = 'Name ' || :n WHERE id = :user",
    "INSERT INTO agent_group_members VALUES (:user, :agent, NULL, :then) ON CONFLICT DO NOTHING",
    "DELETE FROM agent_group_members WHERE user_id = :user",
    "INSERT INTO user_roles SELECT :user, 'admin', :agent, NULL, :then WHERE :n % 2",
    "INSERT OR REPLACE INTO user_roles SELECT :user, 'owner', NULL, NULL, :then WHERE :n % 3 = 0",
    "DELETE FROM user_roles WHERE user_id = :user",
    "INSERT OR REPLACE INTO user_links VALUES (:user, 'tg:ann', NULL, :then)",
    "DELETE FROM user_links WHERE user_id = :user",
    "UPDATE messaging_groups SET unknown_sender_policy = :policy WHERE id = :chat",
    "UPDATE messaging_groups SET name = 'Chat ' || :n WHERE id = :chat",
    """INSERT INTO messaging_group_agents VALUES
       (:chat || :agent, :chat, :agent, NULL, 'all', :mode, :n, :then) ON CONFLICT DO NOTHING""",
    "DELETE FROM messaging_group_agents WHERE messaging_group_id = :chat AND agent_group_id = :agent",
    "UPDATE messaging_group_agents SET trigger_rules = '{\"sticky\": true}' WHERE messaging_group_id = :chat",
    "UPDATE messaging_group_agents SET trigger_rules = 'x' WHERE messaging_group_id = :chat AND :n % 5 = 0",
    "UPDATE agent_groups SET name = 'Agent ' || :n WHERE id = :agent",
    """INSERT INTO sessions (id, agent_group_id, messaging_group_id, thread_id, created_at)
       SELECT 's-' || :n, :agent, CASE WHEN :n % 3 THEN :chat END, CASE WHEN :n % 2 THEN 't' END, :then
       WHERE true ON CONFLICT DO NOTHING""",
    "UPDATE sessions SET status = 'archived' WHERE agent_group_id = :agent",
    """INSERT INTO refusals (messaging_group_id, user_id, status, decided_at)
       SELECT :chat, CASE WHEN :n % 3 THEN :user END,
         CASE WHEN :n % 2 THEN 'blocked' ELSE 'rejected' END, :then
       WHERE true ON CONFLICT DO NOTHING""",
    "DELETE FROM refusals WHERE messaging_group_id = :chat",
    """INSERT INTO held_messages VALUES
       (NULL, 'm-' || :n, :chat, :user, 'x', 1, json_array(:agent), :then)""",
    "DELETE FROM held_messages WHERE messaging_group_id = :chat",
    "INSERT OR REPLACE INTO user_dms VALUES (:user, 'tg', :chat, :then)",
    "DELETE FROM user_dms WHERE user_id = :user",
    """INSERT INTO pending_questions (question_id, session_id, message_out_id, platform_id, channel_type,
         title, options_json, created_at)
       SELECT 'q-' || :n, id, 'm', :chat, 'tg', 'Title', '[]', :then FROM sessions LIMIT 1""",
    "DELETE FROM pending_questions WHERE platform_id = :chat",
    """INSERT OR REPLACE INTO pending_approvals
         (approval_id, request_id, action, payload, created_at, title, options_json)
       VALUES ('appr-' || :n % 3, 'r', 'network', '{}', :then, 'Title', '[]')""",
    """INSERT OR REPLACE INTO approval_cards
         (approval_id, user_id, channel_type, platform_id, status, started_at)
       SELECT approval_id, :user, 'tg', :chat, 'shown', :then FROM pending_approvals LIMIT 1""",
    "DELETE FROM pending_approvals",
)
"""Changes of every table that a plan reads."""


@frozen
class Do:
    """Runs a function of a connection as a commit of the registry."""

    fn: Callable[[apsw.Connection], Any]

    async def handle(self, actor: Registry) -> None:
        await actor.commit(self._run)

    def _run(self, connection: apsw.Connection) -> None:
        self.fn(connection)


def sql(statement: str, **values: Any) -> Do:
    used = {name: value for name, value in (values | {"then": THEN}).items() if f":{name}" in statement}
    return Do(lambda connection: connection.execute(statement, used or None).fetchall())


@define
class Stage:
    office: Office
    plans: Plans

    async def compare(self) -> list[tuple[Address, str | None]]:
        """Return the chats and senders whose kept plan is not the one that is read anew."""
        return [
            (event.address, event.message.sender_id)
            for event in events()
            if plain(await self.plans.find(event)) != plain(await self.anew(event))
        ]

    async def anew(self, event: InboundEvent) -> Plan:
        sender = event.message.sender_id
        return composed(await self.office.central.run(read_parts, event.address, sender, Parts()), event)


def events() -> Sequence[InboundEvent]:
    return [
        InboundEvent(
            Address("tg", chat, thread), "1", ChatMessage("1", "hi", "Ann", user), is_group=chat != "dm"
        )
        for chat in CHATS
        for thread in (None, "t")
        for user in (*USERS, None)
    ]


def plain(plan: Plan) -> str:
    """Return all of a plan as text, because errors about rows are not equal to each other."""
    return repr(plan)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with an_office(tmp_path / "data") as office:
        await office.registry.ask(sql(FIRST))
        yield Stage(office, Plans(office.central, office.changes))


@pytest.mark.parametrize("seed", range(3))
async def test_a_kept_plan_is_what_would_be_read_anew(stage: Stage, seed: int) -> None:
    random = Random(seed)
    for n in range(150):
        values = {
            "n": n,
            "user": random.choice(USERS),
            "chat": random.choice(CHATS),
            "agent": random.choice(AGENTS),
            "policy": random.choice(("strict", "public", "request_approval")),
            "mode": random.choice(("shared", "per-thread", "agent-shared")),
        }
        move = random.choice(MOVES)
        await stage.office.registry.ask(sql(move, **values))
        assert await stage.compare() == [], (n, move, values)


async def test_a_plan_that_nothing_has_changed_is_not_read_again(stage: Stage) -> None:
    [event, *_] = events()
    first = await stage.plans.find(event)
    await stage.office.registry.ask(sql("UPDATE users SET display_name = 'B' WHERE id = 'tg:bob'"))
    await stage.office.registry.ask(sql("UPDATE messaging_groups SET name = 'C' WHERE id = 'club'"))
    again = await stage.plans.find(event)
    assert again.chat is first.chat is not None


async def test_only_tables_that_no_plan_reads_leave_all_plans_as_they_are(stage: Stage) -> None:
    read = set[str]()

    def note(action: int, table: str | None, *_rest: str | None) -> int:
        if action == apsw.SQLITE_READ and table is not None:
            read.add(table)
        return apsw.SQLITE_OK

    def with_all(connection: apsw.Connection) -> None:
        connection.cache_flush()
        connection.authorizer = note
        for event in events():
            read_parts(connection, event.address, event.message.sender_id, Parts())
        connection.authorizer = None

    await stage.office.registry.ask(
        sql(
            """INSERT INTO messaging_group_agents SELECT id || 'w', id, 'one', NULL, 'all', 'shared', 0, :then
            FROM messaging_groups;
            INSERT INTO refusals (messaging_group_id, user_id, status, decided_at)
            SELECT 'team', id, 'blocked', :then FROM users"""
        )
    )
    await stage.office.central.run(with_all)
    assert {"users", "refusals", "held_messages", "approval_cards"} <= read
    assert not read & UNREAD


async def test_the_agents_of_a_person_are_those_of_whom_they_are_a_member(stage: Stage) -> None:
    """The kept rights and the check of one right agree."""
    random = Random(1)
    for n in range(60):
        move = random.choice(
            [each for each in MOVES if "roles" in each or "links" in each or "members" in each]
        )
        values = {"n": n, "user": random.choice(USERS), "agent": random.choice(AGENTS)}
        await stage.office.registry.ask(sql(move, **values))
        for user in USERS:
            parts = await stage.office.central.run(read_parts, Address("tg", "team"), user, Parts())
            assert parts.sender is not None
            for agent in AGENTS:
                wanted = await stage.office.central.run(members.is_member, user, agent)
                assert parts.sender.may_talk_to(agent) == wanted


@define
class Interrupted:
    """A reader after whose first read somebody commits."""

    office: Office
    commit: Do | None

    async def run(self, fn: Any, *args: Any) -> Any:
        found = await self.office.central.run(fn, *args)
        if self.commit is not None:
            commit, self.commit = self.commit, None
            await self.office.registry.ask(commit)
        return found


async def test_a_commit_while_a_plan_is_read_makes_it_read_again(stage: Stage) -> None:
    """Otherwise a plan could have the chat of before a commit, and the sender of after it."""
    [event, *_], office = events(), stage.office
    wiring = "INSERT INTO messaging_group_agents VALUES ('w', 'team', 'one', NULL, 'all', 'shared', 0, :then)"
    await office.registry.ask(sql(wiring))
    admits = Do(lambda connection: members.add(connection, "tg:ann", "one", None, NOW))
    stage.plans = Plans(cast("Reader", Interrupted(office, admits)), office.changes)
    plan = await stage.plans.find(event)
    assert [target.refused for target in plan.targets] == [None]
    assert await stage.compare() == []


def test_the_cache_keeps_a_limited_number_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_CHATS", "MAX_SENDERS", "MAX_IN_CHAT"):
        monkeypatch.setattr(plan_cache, name, 2)
    cache = PlanCache()
    for n in range(4):
        chat = MessagingGroup(str(n), "tg", str(n), None, True, "strict", NOW)  # noqa: FBT003 -- a group
        sender = SenderPart(f"tg:{n}", None, (f"tg:{n}",), None, frozenset(), frozenset())
        cache.put(Address("tg", str(n)), Parts(ChatPart(chat), sender))
    kept = [cache.get(Address("tg", str(n)), f"tg:{n}") for n in range(4)]
    assert [each.sender is not None for each in kept] == [False, False, True, True]
    assert [each.chat is not None for each in kept] == [False, False, True, True]
    for n in range(4):
        cache.put(Address("tg", "3", str(n)), Parts(kept[3].chat))
    threads = [cache.get(Address("tg", "3", str(n)), None) for n in range(4)]
    assert [each.chat is not None for each in threads] == [False, False, True, True]


# -- changed rows ------------------------------------------------------------------------


MANY = (
    "INSERT INTO one WITH n(i) AS (SELECT 9 UNION ALL SELECT i + 1 FROM n LIMIT {rows}) SELECT i, 'y' FROM n"
)


def changes_of(database: apsw.Connection, statement: str) -> Changed:
    def run(connection: apsw.Connection) -> None:
        connection.execute(statement).fetchall()

    return followed(database, frozenset({"a"}), run)[1]


@pytest.fixture
def database() -> apsw.Connection:
    database = apsw.Connection(":memory:")
    database.execute(
        """
        PRAGMA foreign_keys = ON;
        CREATE TABLE one (a PRIMARY KEY, b); CREATE TABLE bare (a PRIMARY KEY, b) WITHOUT ROWID;
        CREATE TABLE two (a REFERENCES one ON DELETE CASCADE);
        INSERT INTO one VALUES (1, 'x'); INSERT INTO two VALUES (1); INSERT INTO bare VALUES (1, 'x');
        """
    )
    return database


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("INSERT INTO one VALUES (5, 'y')", [("one", 5)]),
        ("UPDATE bare SET b = 'y'", [("bare", 1), ("bare", 1)]),
        ("INSERT OR REPLACE INTO bare VALUES (1, 'z')", [("bare", 1)]),
        ("DELETE FROM one WHERE a = 1", [("one", 1), ("two", 1)]),
        ("DELETE FROM two", [("two", 1)]),
        ("SAVEPOINT s; DELETE FROM two; ROLLBACK TO s; RELEASE s", [("two", 1)]),
        ("SELECT * FROM one", []),
    ],
)
def test_changed_rows_are_named(
    database: apsw.Connection, statement: str, rows: list[tuple[str, int]]
) -> None:
    changed = changes_of(database, statement)
    assert changed is not None
    assert {(row.table, row.values["a"]) for row in changed} == set(rows)


@pytest.mark.parametrize(
    "statement",
    [
        MANY.format(rows=MOST_ROWS + 1),
        "UPDATE one SET b = CAST(x'ff' AS TEXT); UPDATE one SET b = 'repaired'",
    ],
)
def test_many_changes_and_unreadable_ones_are_any_change(database: apsw.Connection, statement: str) -> None:
    assert changes_of(database, statement) is None
    assert changes_of(database, "DELETE FROM two") is not None
