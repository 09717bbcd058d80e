"""Refusals of the store: the text names the row and says what to do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import apsw
import pytest
from attrs import evolve

from nanoclaw.records import AgentDestination, AgentGroup, MessagingGroup, Session, Wiring
from nanoclaw.store import NotAllowed, StillReferenced
from nanoclaw.store.central import (
    agent_groups,
    destinations,
    messaging_groups,
    pending_approvals,
    sessions,
    user_dms,
    wirings,
)
from nanoclaw.store.engine.migrations import apply_central
from tests.store.old_databases import CENTRAL, made_by_hand
from tests.store.openings import NOW

AGENT = AgentGroup("ag-1", "One", "one", None, NOW)
CHAT = MessagingGroup("mg-1", "tg", "tg:1", "Team", True, "strict", NOW)  # noqa: FBT003 -- a row
SESSION = Session("s-0", "ag-1", "mg-1", None, None, "active", "stopped", None, NOW)


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    with made_by_hand(Path(":memory:")) as connection:
        for migration in CENTRAL:
            apply_central(connection, migration)
        connection.execute("PRAGMA foreign_keys = ON").fetchall()
        agent_groups.create(connection, AGENT)
        messaging_groups.create(connection, CHAT)
        yield connection


def test_a_refused_deletion_names_the_rows_that_refer_to_it(db: apsw.Connection) -> None:
    wirings.create(db, Wiring("w-1", "mg-1", "ag-1", {}, "all", "shared", 0, NOW))
    for n in range(8):
        sessions.create(db, evolve(SESSION, id=f"s-{n}", thread_id=f"t{n}"))
    with pytest.raises(StillReferenced) as caught:
        messaging_groups.delete(db, "mg-1")
    assert str(caught.value) == (
        "chat tg:tg:1 is still referred to by wirings tg:tg:1=one, "
        "sessions s-0, s-1, s-2, s-3, s-4 and 3 more; delete or change those first"
    )


def test_an_agent_whose_only_destination_is_itself_can_be_deleted(db: apsw.Connection) -> None:
    destinations.create(db, AgentDestination("ag-1", "me", "agent", "ag-1", NOW))
    agent_groups.delete(db, "ag-1")
    assert destinations.to_target(db, "agent", "ag-1") == []


def test_a_destination_made_before_the_wiring_outlives_it(db: apsw.Connection) -> None:
    destinations.create(db, AgentDestination("ag-1", "us", "channel", "mg-1", NOW))
    wirings.create(db, Wiring("w-1", "mg-1", "ag-1", {}, "all", "shared", 0, NOW))
    wirings.delete(db, "w-1")
    assert [d.local_name for d in destinations.of_agent(db, "ag-1")] == ["us"]


def test_a_free_name_is_derived_from_the_target(db: apsw.Connection) -> None:
    agent_groups.create(db, AgentGroup("ag-2", "Ägypten & Co", "two", None, NOW))
    agent_groups.create(db, AgentGroup("ag-3", "???", "three", None, NOW))
    assert destinations.free_name(db, "ag-1", "channel", "mg-1") == "team"
    assert destinations.free_name(db, "ag-1", "agent", "ag-2") == "gypten-co"
    assert destinations.free_name(db, "ag-1", "agent", "ag-3") == "three"
    destinations.create(db, AgentDestination("ag-1", "three", "agent", "ag-3", NOW))
    assert destinations.free_name(db, "ag-1", "agent", "ag-3") == "three-2"


@pytest.mark.parametrize("folder", ["", ".hidden", "a/b", "global", "x" * 200])
def test_a_folder_is_one_safe_component(db: apsw.Connection, folder: str) -> None:
    with pytest.raises(NotAllowed, match="folder"):
        agent_groups.create(db, evolve(AGENT, id="ag-2", folder=folder))


def test_a_column_that_may_not_change_is_named(db: apsw.Connection) -> None:
    with pytest.raises(NotAllowed, match="AgentGroup: folder cannot be changed; use agent_provider, name"):
        agent_groups.update(db, "ag-1", cast("Any", {"name": "x", "folder": "elsewhere"}))


def test_a_value_that_could_not_be_read_back_is_refused(db: apsw.Connection) -> None:
    with pytest.raises(NotAllowed, match="unknown_sender_policy"):
        messaging_groups.update(db, "mg-1", cast("Any", {"unknown_sender_policy": "maybe"}))
    with pytest.raises(NotAllowed, match="surrogates"):
        messaging_groups.update(db, "mg-1", {"name": "\ud800"})
    with pytest.raises(NotAllowed, match="zone"):
        sessions.create(db, evolve(SESSION, created_at=NOW.replace(tzinfo=None)))
    with pytest.raises(NotAllowed, match="JSON serializable"):
        wirings.create(db, Wiring("w-1", "mg-1", "ag-1", {"x": object()}, "all", "shared", 0, NOW))
    assert messaging_groups.get(db, "mg-1") == CHAT


def test_a_session_must_be_archived_before_it_is_deleted(db: apsw.Connection) -> None:
    sessions.create(db, SESSION)
    with pytest.raises(NotAllowed, match="session s-0 is active; archive it first"):
        sessions.delete(db, "s-0")


def test_reading_a_missing_row_returns_none(db: apsw.Connection) -> None:
    assert user_dms.get(db, "u", "tg") is None
    assert pending_approvals.get(db, "a") is None
    assert destinations.get(db, "ag-1", "x") is None
    assert pending_approvals.every(db, "approved") == []
