"""Every call of the facade to the central database, through the registry and a reader."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve, frozen

from nanoclaw.records import Address, Session, UnregisteredSender
from nanoclaw.registry import EnsureUser, OpenSession, ParkEvent, RecordDrops, Registry
from nanoclaw.store import Conflict, Connection, NotAllowed, NotFound, StillReferenced
from nanoclaw.store.central import meta
from nanoclaw.store.engine.rows import DamagedRow
from tests.registry.office import Office, an_office
from tests.store.openings import NOW

CHAT = Address("tg", "tg:1")


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with an_office(tmp_path / "data") as office:
        yield office
        assert office.restarts() == 0, "a refusal is an answer, no crash"


async def a_session(office: Office) -> Session:
    wiring = await office.admin.wirings.connect(CHAT, "one")
    return await office.admin.sessions.open(wiring.agent_group_id, wiring.messaging_group_id)


async def test_agent_groups(office: Office) -> None:
    groups = office.admin.agent_groups
    one = await groups.create("One", "one", agent_provider="echo")
    assert await groups.get(one.id) == await groups.by_folder("one") == one
    assert (one.name, one.agent_provider, one.created_at) == ("One", "echo", NOW)
    changed = await groups.update(one.id, name="Uno", agent_provider=None)
    assert changed == evolve(one, name="Uno", agent_provider=None)
    assert list(await groups.list()) == [changed]
    assert await groups.delete(one.id) == changed
    assert await groups.get(one.id) is None


async def test_messaging_groups(office: Office) -> None:
    chats = office.admin.messaging_groups
    chat = await chats.create(CHAT, name="Team", is_group=True, unknown_sender_policy="public")
    assert await chats.get(chat.id) == await chats.by_address("tg", "tg:1") == chat
    assert (chat.name, chat.is_group, chat.unknown_sender_policy) == ("Team", True, "public")
    changed = await chats.update(chat.id, unknown_sender_policy="strict")
    assert list(await chats.list()) == [changed] == [evolve(chat, unknown_sender_policy="strict")]
    assert await chats.delete(chat.id) == changed


async def test_wirings_and_the_destinations_that_they_create(office: Office) -> None:
    admin, agent, chat = office.admin, await office.agent(), await office.chat()
    wiring = await admin.wirings.create(
        chat.id,
        agent.id,
        trigger_rules={"pattern": "^hi"},
        response_scope="triggered",
        session_mode="per-thread",
        priority=3,
    )
    assert await admin.wirings.get(wiring.id) == await admin.wirings.by_pair(chat.id, agent.id) == wiring
    assert (wiring.trigger_rules, wiring.response_scope) == ({"pattern": "^hi"}, "triggered")
    assert (wiring.session_mode, wiring.priority) == ("per-thread", 3)
    changed = await admin.wirings.update(wiring.id, priority=1, trigger_rules={})
    expected = [evolve(wiring, priority=1, trigger_rules={})]
    for found in (
        await admin.wirings.list(),
        await admin.wirings.for_chat(chat.id),
        await admin.wirings.for_agent(agent.id),
    ):
        assert list(found) == expected
    (destination,) = await admin.destinations.of_agent(agent.id)
    assert (destination.local_name, destination.wiring_id) == ("team", wiring.id)
    assert await admin.wirings.delete(wiring.id) == changed
    assert await admin.destinations.of_agent(agent.id) == []


async def test_a_pattern_that_is_not_a_regular_expression_is_refused(office: Office) -> None:
    admin, agent, chat = office.admin, await office.agent(), await office.chat()
    with pytest.raises(NotAllowed, match="not a regular expression"):
        await admin.wirings.create(chat.id, agent.id, trigger_rules={"pattern": "("})
    with pytest.raises(NotAllowed, match="not a regular expression"):
        await admin.wirings.connect(CHAT, "one", trigger_rules={"pattern": "("})
    wiring = await admin.wirings.create(chat.id, agent.id)
    with pytest.raises(NotAllowed, match="not a regular expression"):
        await admin.wirings.update(wiring.id, trigger_rules={"pattern": "("})


async def test_connect_creates_missing_rows_and_returns_existing_ones(office: Office) -> None:
    wiring = await office.admin.wirings.connect(CHAT, "one", policy="public", priority=2)
    again = await office.admin.wirings.connect(CHAT, "one", policy="request_approval", priority=7)
    assert again == wiring
    (chat,) = await office.admin.messaging_groups.list()
    assert chat.unknown_sender_policy == "request_approval"
    assert [group.folder for group in await office.admin.agent_groups.list()] == ["one"]


async def test_destinations(office: Office) -> None:
    places, one, two = office.admin.destinations, await office.agent(), await office.agent("two")
    made = await places.create(one.id, "agent", two.id)
    assert (made.local_name, made.target_id, made.wiring_id) == ("two", two.id, None)
    assert await places.get(one.id, "two") == made
    renamed = await places.rename(one.id, "two", "boss")
    assert list(await places.of_agent(one.id)) == [renamed] == [evolve(made, local_name="boss")]
    assert list(await places.to_target("agent", two.id)) == [renamed]
    with pytest.raises(StillReferenced, match="destinations boss of agent one"):
        await office.admin.agent_groups.delete(two.id)
    assert await places.delete(one.id, "boss") == renamed
    with pytest.raises(NotFound, match="no destination 'boss'"):
        await places.delete(one.id, "boss")


async def test_users(office: Office) -> None:
    users = office.admin.users
    user = await users.create("tg:9", display_name="Nine")
    assert await users.get("tg:9") == user
    assert (user.kind, user.display_name) == ("tg", "Nine")
    await office.registry.ask(EnsureUser("tg:9", "Nina"))
    assert [one.display_name for one in await users.list()] == ["Nina"]
    assert (await users.update("tg:9", display_name=None)).display_name is None
    assert (await users.delete("tg:9")).id == "tg:9"
    assert await users.get("tg:9") is None


@pytest.mark.parametrize("id_", ["", "tg", "tg:", ":9"])
async def test_a_users_id_determines_its_kind(office: Office, id_: str) -> None:
    with pytest.raises(NotAllowed, match="not a user id"):
        await office.admin.users.create(id_)


async def test_roles_and_members(office: Office) -> None:
    admin, agent = office.admin, await office.agent()
    for id_ in ("tg:1", "tg:2", "tg:3"):
        await admin.users.create(id_)
    await admin.roles.grant("tg:1", "owner")
    await admin.roles.grant("tg:2", "admin", granted_by="tg:1")
    await admin.roles.grant("tg:2", "admin", agent.id)
    await admin.members.add("tg:3", agent.id, added_by="tg:2")
    assert list(await admin.roles.admins(agent.id)) == ["tg:1", "tg:2"]
    assert [role.agent_group_id for role in await admin.roles.for_user("tg:2")] == [None, agent.id]
    assert len(await admin.roles.list()) == 3
    assert await admin.roles.is_owner("tg:1")
    assert await admin.roles.is_global_admin("tg:2")
    assert await admin.roles.is_admin_of("tg:2", agent.id)
    assert not await admin.roles.may_administer("tg:3", agent.id)
    assert await admin.members.is_member("tg:3", agent.id)
    (member,) = await admin.members.for_agent(agent.id)
    assert list(await admin.members.for_user("tg:3")) == [member]
    with pytest.raises(StillReferenced, match="memberships given to tg:3"):
        await admin.users.delete("tg:2")
    assert await admin.members.remove("tg:3", agent.id)
    assert not await admin.members.remove("tg:3", agent.id)
    assert await admin.roles.revoke("tg:2", "admin")
    assert not await admin.roles.revoke("tg:2", "admin")
    assert list(await admin.roles.admins(agent.id)) == ["tg:1", "tg:2"]


async def test_direct_chats(office: Office) -> None:
    admin, chat, other = office.admin, await office.chat(), await office.chat("tg:2")
    await admin.users.create("tg:9")
    await admin.dms.note("tg:9", "tg", chat.id)
    dm = await admin.dms.note("tg:9", "tg", other.id)
    assert await admin.dms.get("tg:9", "tg") == dm
    assert list(await admin.dms.for_user("tg:9")) == [dm]
    assert await admin.dms.forget("tg:9", "tg") == dm
    with pytest.raises(NotFound):
        await admin.dms.forget("tg:9", "tg")


async def test_unregistered_senders(office: Office) -> None:
    chat = await office.chat()
    for _ in range(2):
        counted = UnregisteredSender(
            "tg", CHAT.platform_id, "tg:9", "Nine", "strict", chat.id, None, 1, NOW, NOW
        )
        await office.registry.ask(RecordDrops([counted]))
    (sender,) = await office.admin.unregistered_senders.list()
    assert (sender.user_id, sender.message_count, sender.messaging_group_id) == ("tg:9", 2, chat.id)
    assert list(await office.admin.unregistered_senders.forget(CHAT, "tg:9")) == ["strict"]
    assert list(await office.admin.unregistered_senders.list()) == []


async def test_sessions_are_paused_resumed_archived_and_deleted(office: Office) -> None:
    sessions, session = office.admin.sessions, await a_session(office)
    agent, chat = session.agent_group_id, session.messaging_group_id
    assert await sessions.get(session.id) == await sessions.find_open(agent, chat) == session
    assert await sessions.find_shared(agent) is None
    assert (await sessions.pause(session.id)).status == "paused"
    assert [one.id for one in await sessions.list("paused")] == [session.id]
    assert (await sessions.resume(session.id)).status == "active"
    assert (await sessions.update(session.id, agent_provider="echo")).agent_provider == "echo"
    with pytest.raises(NotAllowed, match="archive it first"):
        await sessions.delete(session.id)
    assert (await sessions.archive(session.id)).status == "archived"
    later = await sessions.open(agent, chat)
    assert later.id != session.id
    with pytest.raises(Conflict):
        await sessions.resume(session.id)
    assert {one.id for one in await sessions.for_agent(agent)} == {session.id, later.id}
    assert list(await sessions.running()) == []
    await sessions.delete(session.id)
    assert [one.id for one in await sessions.list()] == [later.id]


async def test_parked_events(office: Office) -> None:
    parked, session = office.admin.parked, await a_session(office)
    await office.registry.ask(ParkEvent(session.id, '{"n": 1}', "disk full"))
    (event,) = await parked.list()
    assert (event.event, event.reason) == ('{"n": 1}', "disk full")
    assert list(await parked.for_session(session.id)) == [event]
    await office.admin.sessions.archive(session.id)
    with pytest.raises(StillReferenced, match="parked events " + event.id):
        await office.admin.sessions.delete(session.id)
    await parked.remove([event.id])
    assert list(await parked.list()) == []


async def test_questions(office: Office) -> None:
    questions, session = office.admin.questions, await a_session(office)
    options = ["yes", {"label": "No", "value": "n"}]
    assert await questions.create(
        "q-1", session.id, "out-1", title="Well?", options=options, address=evolve(CHAT, thread_id="t")
    )
    assert not await questions.create("q-1", session.id, "out-1", title="Again?", options=[])
    question = await questions.get("q-1")
    assert question is not None
    assert (question.title, list(question.options), question.thread_id) == ("Well?", options, "t")
    assert list(await questions.list()) == list(await questions.for_session(session.id)) == [question]
    assert await questions.delete("q-1") == question
    with pytest.raises(NotFound, match="waits"):
        await questions.delete("q-1")


async def test_approvals(office: Office) -> None:
    approvals, session = office.admin.approvals, await a_session(office)
    asked = await approvals.create(
        "install_packages",
        {"apt": ["jq"]},
        title="Install jq?",
        options=["ok"],
        approval_id="out-7",
        request_id="r-1",
        session_id=session.id,
        agent_group_id=session.agent_group_id,
        address=CHAT,
        platform_message_id="99",
        expires_at=NOW + timedelta(hours=1),
    )
    assert await approvals.create("install_packages", {"apt": ["vim"]}, approval_id="out-7") == asked
    assert await approvals.get("out-7") == asked
    assert (asked.payload, asked.channel_type, asked.platform_message_id) == ({"apt": ["jq"]}, "tg", "99")
    assert list(await approvals.for_action("install_packages")) == list(await approvals.list()) == [asked]
    await office.admin.sessions.archive(session.id)
    with pytest.raises(StillReferenced, match="pending approvals out-7"):
        await office.admin.sessions.delete(session.id)
    with pytest.raises(NotAllowed, match="tg:1 may not decide"):
        await approvals.decide("out-7", "approved", by="tg:1")
    await office.admin.users.create("tg:1")
    await office.admin.roles.grant("tg:1", "admin", session.agent_group_id)
    decided = await approvals.decide("out-7", "approved", by="tg:1")
    assert (decided.status, decided.decided_by, decided.decided_at) == ("approved", "tg:1", NOW)
    with pytest.raises(NotAllowed, match="already approved"):
        await approvals.decide("out-7", "rejected", by="tg:2")
    assert list(await approvals.list("approved")) == [decided]
    assert list(await approvals.for_action("install_packages")) == []
    assert await approvals.delete("out-7") == decided


async def test_an_approval_may_belong_to_the_host_and_expires(office: Office) -> None:
    asked = await office.admin.approvals.create("renew", {}, expires_at=NOW)
    assert asked.request_id == asked.approval_id
    await office.admin.approvals.create("renew", {}, expires_at=NOW + timedelta(seconds=1))
    (expired,) = await office.admin.approvals.expire()
    assert (expired.approval_id, expired.status) == (asked.approval_id, "expired")


async def test_a_row_that_the_schema_forbids_is_a_conflict_and_changes_nothing(office: Office) -> None:
    await office.agent()
    with pytest.raises(Conflict, match=r"agent_groups\.folder"):
        await office.agent()
    assert len(await office.admin.agent_groups.list()) == 1


@frozen
class Damage:
    """Write rows that no function of the store would write."""

    async def handle(self, actor: Registry) -> None:
        await actor.commit(_damage)


def _damage(connection: Connection) -> None:
    connection.execute("UPDATE messaging_groups SET unknown_sender_policy = 'maybe'")


async def test_a_damaged_row_fails_only_the_calls_that_read_it(office: Office) -> None:
    chat = await office.chat()
    await office.registry.ask(Damage())
    with pytest.raises(DamagedRow, match="unknown_sender_policy"):
        await office.admin.messaging_groups.update(chat.id, name="x")
    await office.agent()


async def test_an_install_has_an_id_from_the_start(office: Office) -> None:
    assert (await office.central.run(meta.get, "install_id") or "").startswith("install-")


async def test_opening_a_session_twice_in_one_place_opens_one(office: Office) -> None:
    session = await a_session(office)
    place = (session.agent_group_id, session.messaging_group_id)
    assert await office.registry.ask(OpenSession(*place, None)) == session
    assert (await office.registry.ask(OpenSession(*place, "thread"))).id != session.id
