"""One person with several identities: what links them, and what follows the person."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from nanoclaw.records import AgentGroup, User
from nanoclaw.store import NotFound
from nanoclaw.store.central import agent_groups, members, people, user_roles, users
from nanoclaw.store.engine.migrations import apply_central
from tests.store.old_databases import CENTRAL, made_by_hand
from tests.store.openings import NOW

IDS = ("discord:9", "email:a", "phone:5", "tg:1", "tg:2")


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    with made_by_hand(Path(":memory:")) as connection:
        for migration in CENTRAL:
            apply_central(connection, migration)
        connection.execute("PRAGMA foreign_keys = ON").fetchall()
        for id_ in IDS:
            users.create(connection, User(id_, id_.partition(":")[0], None, NOW))
        agent_groups.create(connection, AgentGroup("ag-1", "One", "one", None, NOW))
        yield connection


def link(db: apsw.Connection, *ids: str) -> None:
    for n, other in enumerate(ids[1:]):
        people.link(db, ids[0], other, None, NOW + timedelta(seconds=n))


def test_who_is_not_linked_is_a_person_alone(db: apsw.Connection) -> None:
    assert people.identities(db, "tg:1") == ("tg:1",)
    assert people.identities(db, "tg:never-seen") == ("tg:never-seen",)


def test_all_identities_of_a_person_find_each_other(db: apsw.Connection) -> None:
    link(db, "tg:1", "discord:9", "email:a")
    assert people.identities(db, "email:a") == ("email:a", "discord:9", "tg:1")
    assert {people.person_id(db, id_) for id_ in ("tg:1", "discord:9", "email:a")} == {"tg:1"}


def test_linking_two_people_joins_all_their_identities(db: apsw.Connection) -> None:
    link(db, "tg:1", "discord:9")
    link(db, "phone:5", "email:a")
    link(db, "discord:9", "email:a")
    assert set(people.identities(db, "phone:5")) == {"tg:1", "discord:9", "phone:5", "email:a"}
    assert people.person_id(db, "email:a") == "tg:1"


def test_linking_twice_or_to_itself_changes_nothing(db: apsw.Connection) -> None:
    link(db, "tg:1", "discord:9")
    before = people.every(db)
    link(db, "discord:9", "tg:1")
    link(db, "tg:1", "tg:1")
    link(db, "tg:2", "tg:2")
    assert people.every(db) == before


def test_a_link_names_users_that_exist(db: apsw.Connection) -> None:
    with pytest.raises(NotFound, match="tg:404"):
        link(db, "tg:1", "tg:404")
    assert people.every(db) == []


def test_an_unlinked_identity_is_a_person_of_its_own(db: apsw.Connection) -> None:
    link(db, "tg:1", "discord:9", "email:a")
    people.unlink(db, "discord:9")
    assert people.identities(db, "discord:9") == ("discord:9",)
    assert people.identities(db, "tg:1") == ("tg:1", "email:a")
    with pytest.raises(NotFound, match="discord:9 is not linked"):
        people.unlink(db, "discord:9")


def test_the_oldest_link_names_the_person_if_its_name_leaves(db: apsw.Connection) -> None:
    link(db, "tg:1", "phone:5", "discord:9", "email:a")
    people.unlink(db, "tg:1")
    assert people.person_id(db, "email:a") == "phone:5"


def test_the_last_link_of_a_person_is_none(db: apsw.Connection) -> None:
    link(db, "tg:1", "discord:9")
    people.unlink(db, "tg:1")
    assert people.every(db) == []


def test_a_deleted_user_leaves_the_person(db: apsw.Connection) -> None:
    link(db, "tg:1", "discord:9", "email:a")
    users.delete(db, "tg:1")
    assert people.identities(db, "email:a") == ("email:a", "discord:9")


def test_rights_follow_the_person(db: apsw.Connection) -> None:
    user_roles.grant(db, "tg:1", "owner", None, None, NOW)
    user_roles.grant(db, "tg:2", "admin", "ag-1", None, NOW)
    link(db, "tg:1", "discord:9")
    link(db, "tg:2", "email:a")
    assert user_roles.is_owner(db, "discord:9")
    assert user_roles.is_admin_of(db, "email:a", "ag-1")
    assert user_roles.may_administer(db, "email:a", "ag-1")
    assert not user_roles.is_global_admin(db, "email:a")
    assert not user_roles.may_administer(db, "phone:5", "ag-1")
    assert user_roles.admins(db, "ag-1") == ["tg:1", "discord:9", "tg:2", "email:a"]
    people.unlink(db, "discord:9")
    assert not user_roles.is_owner(db, "discord:9")


def test_memberships_follow_the_person(db: apsw.Connection) -> None:
    members.add(db, "tg:1", "ag-1", None, NOW)
    link(db, "phone:5", "tg:1")
    assert members.is_member(db, "phone:5", "ag-1")
    people.unlink(db, "phone:5")
    assert not members.is_member(db, "phone:5", "ag-1")
