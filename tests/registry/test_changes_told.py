"""Which sessions are told of which changes, and what the registry itself records of sessions."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import trio
import trio.testing

from nanoclaw.records import Address, Presence
from nanoclaw.registry import Bootstrap, EnsureChat, EnsureUser, OpenSession, RecordPresence
from nanoclaw.store import NotFound
from tests.registry.office import Office, an_office
from tests.store.openings import NOW


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with an_office(tmp_path / "data") as office:
        yield office


async def test_a_wiring_change_notifies_only_its_agent(office: Office) -> None:
    one, two, chat = await office.agent(), await office.agent("two"), await office.chat()
    both, wirings = (one.id, two.id), office.admin.wirings
    assert await office.told(wirings.create(chat.id, one.id), *both) == [one.id]
    (wiring,) = await wirings.list()
    assert await office.told(wirings.update(wiring.id, priority=1), *both) == [one.id]
    assert await office.told(wirings.delete(wiring.id), *both) == [one.id]
    assert await office.told(wirings.connect(Address("tg", "tg:5"), "two"), *both) == [two.id]


async def test_a_destination_change_notifies_only_its_agent(office: Office) -> None:
    one, two = await office.agent(), await office.agent("two")
    both, places = (one.id, two.id), office.admin.destinations
    assert await office.told(places.create(one.id, "agent", two.id), *both) == [one.id]
    assert await office.told(places.rename(one.id, "two", "boss"), *both) == [one.id]
    assert await office.told(places.delete(one.id, "boss"), *both) == [one.id]


async def test_a_renamed_agent_and_the_agents_that_may_write_to_it_are_notified(office: Office) -> None:
    agents = [await office.agent(folder) for folder in ("one", "two", "three")]
    one, two, three = (agent.id for agent in agents)
    await office.admin.destinations.create(two, "agent", one)
    change = office.admin.agent_groups.update(one, name="Uno")
    assert await office.told(change, one, two, three) == sorted([one, two])


async def test_a_chat_rename_notifies_all_agents_and_a_policy_change_notifies_none(office: Office) -> None:
    one, chat = await office.agent(), await office.chat()
    chats = office.admin.messaging_groups
    assert await office.told(chats.update(chat.id, name="Us"), one.id) == [one.id]
    assert await office.told(chats.update(chat.id, unknown_sender_policy="public"), one.id) == []


async def test_a_role_change_notifies_only_the_affected_agents(office: Office) -> None:
    one, two = await office.agent(), await office.agent("two")
    await office.admin.users.create("tg:1")
    both, roles = (one.id, two.id), office.admin.roles
    everybody = sorted(both)
    assert await office.told(roles.grant("tg:1", "admin", one.id), *both) == [one.id]
    assert await office.told(roles.revoke("tg:1", "admin", one.id), *both) == [one.id]
    assert await office.told(roles.grant("tg:1", "admin"), *both) == everybody
    assert await office.told(roles.revoke("tg:1", "admin"), *both) == everybody
    assert await office.told(office.admin.members.add("tg:1", one.id), *both) == []
    assert await office.told(office.admin.users.update("tg:1", display_name="x"), *both) == []
    await office.admin.users.create("tg:2")
    for user in ("tg:1", "tg:2"):
        await roles.grant(user, "owner")
    assert await office.told(office.admin.users.delete("tg:1"), *both) == everybody


async def test_a_session_status_change_notifies_only_its_agent(office: Office) -> None:
    one, two = await office.agent(), await office.agent("two")
    session = await office.admin.sessions.open(one.id, None)
    both, sessions = (one.id, two.id), office.admin.sessions
    assert await office.told(sessions.pause(session.id), *both) == [one.id]
    assert await office.told(sessions.archive(session.id), *both) == [one.id]
    assert await office.told(sessions.delete(session.id), *both) == [one.id]


async def test_writes_of_the_hot_path_notify_no_agent(office: Office) -> None:
    one, chat = await office.agent(), await office.chat()
    ask = office.registry.ask
    assert await office.told(ask(EnsureUser("tg:1", "One")), one.id) == []
    assert await office.told(ask(EnsureChat(Address("tg", "tg:9"), None, False)), one.id) == []  # noqa: FBT003 -- a row
    assert await office.told(ask(OpenSession(one.id, chat.id, None)), one.id) == []
    assert await office.told(ask(RecordPresence((Presence("s", "running"),))), one.id) == []


async def test_a_notified_watcher_can_read_the_change(office: Office) -> None:
    one, heard = await office.agent(), trio.Event()
    with office.changes.watch(one.id, heard.set):
        await office.admin.agent_groups.update(one.id, name="Uno")
        assert heard.is_set()
    group = await office.admin.agent_groups.get(one.id)
    assert group is not None
    assert group.name == "Uno"


async def test_a_refused_change_notifies_no_agent(office: Office) -> None:
    one = await office.agent()

    async def refused() -> None:
        with pytest.raises(NotFound):
            await office.admin.wirings.create("mg-none", one.id)

    assert await office.told(refused(), one.id) == []


async def test_the_rows_of_the_first_run_are_created_once(office: Office) -> None:
    first = Bootstrap("cli:local", "You", "NanoClaw", "main", Address("cli", "local"), "Terminal")
    assert await office.registry.ask(first)
    assert not await office.registry.ask(first)
    (wiring,) = await office.admin.wirings.list()
    assert await office.admin.roles.is_owner("cli:local")
    assert [d.local_name for d in await office.admin.destinations.of_agent(wiring.agent_group_id)] == [
        "terminal"
    ]


# -- presence ------------------------------------------------------------------


async def a_running_session(office: Office) -> str:
    agent = await office.agent()
    session = await office.admin.sessions.open(agent.id, None)
    news = (Presence(session.id, "running"), Presence(session.id, last_active=NOW + timedelta(hours=1)))
    await office.registry.ask(RecordPresence(news))
    return session.id


async def test_presence_is_recorded(office: Office) -> None:
    id_ = await a_running_session(office)
    (session,) = await office.admin.sessions.running()
    assert (session.id, session.last_active) == (id_, NOW + timedelta(hours=1))


async def test_no_session_is_running_when_a_host_starts(tmp_path: Path) -> None:
    async with an_office(tmp_path) as office:
        await a_running_session(office)
    async with an_office(tmp_path) as office:
        assert list(await office.admin.sessions.running()) == []
        (session,) = await office.admin.sessions.list()
        assert session.last_active is not None


async def test_a_restart_of_the_registry_alone_keeps_sessions_running(
    office: Office, autojump_clock: object
) -> None:
    del autojump_clock
    id_ = await a_running_session(office)
    office.supervisor.kill("registry")
    await trio.testing.wait_all_tasks_blocked()
    await office.admin.users.create("tg:1")
    assert office.restarts() == 1
    assert [session.id for session in await office.admin.sessions.running()] == [id_]
