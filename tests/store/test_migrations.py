# ruff: noqa: S608 -- all of it constants of these tests

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.store import ForeignDatabase, NewerDatabase, Writer
from nanoclaw.store.engine.migrations import applied_names, apply_central
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.old_databases import (
    CENTRAL,
    FIRST,
    LATER,
    NAMES,
    bring_to,
    indexes,
    made_by_hand,
    tables,
)
from tests.store.openings import KillAt, Killed, central

SEED = tuple(m for m in CENTRAL if m.number < 10)


async def rows(writer: Writer, sql: str) -> Sequence[tuple[object, ...]]:
    return await writer.run(lambda connection: connection.execute(sql).fetchall())


def copies(data: Path) -> list[Path]:
    return sorted((data / "backups").glob("*"))


# -- from every earlier version ------------------------------------------------


async def test_a_new_database_has_all_migrations_in_order_and_no_copy(tmp_path: Path) -> None:
    async with central(tmp_path) as writer:
        assert await writer.run(applied_names) == NAMES
    assert copies(tmp_path) == []


@pytest.mark.parametrize("known", range(1, len(CENTRAL) + 1))
async def test_every_earlier_version_migrates_to_the_same_schema_without_loss(
    tmp_path: Path, known: int
) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        # A constraint of ours forbids the doubles that DATA brings, so older versions alone have them.
        bring_to(old, CENTRAL[: min(known, len(SEED))])
        for migration in CENTRAL[len(SEED) : known]:
            apply_central(old, migration)
        before = {name: old.execute(f'SELECT count(*) FROM "{name}"').get for name in tables(old)}
    with made_by_hand(tmp_path / "new.db") as new:
        bring_to(new, CENTRAL)
        expected = tables(new), indexes(new)
    async with central(tmp_path) as writer:
        assert (await writer.run(tables), await writer.run(indexes)) == expected
        assert await writer.run(applied_names) == NAMES
        lost_doubles = {"user_roles": 1} if NAMES.index("unique-roles") >= known else {}
        for name, count in before.items():
            ((after,),) = await rows(writer, f'SELECT count(*) FROM "{name}"')
            assert isinstance(after, int)
            assert after >= count - lost_doubles.get(name, 0), name
        assert await rows(writer, "PRAGMA foreign_key_check") == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(1, len(CENTRAL) + 3))
async def test_the_next_start_completes_migrations_cut_short_by_a_kill(
    tmp_path: Path, when: str, n: int
) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED[:1])
    with pytest.raises(Killed):
        async with central(tmp_path, InlineExecutor(KillAt(when, n))):  # type: ignore[arg-type]  # of the two
            raise Killed  # the migrations were done before the n-th commit
    async with central(tmp_path) as writer:
        assert await writer.run(applied_names) == NAMES
        assert await rows(writer, "SELECT count(*) FROM sessions") == [(5,)]


# -- what each one does to data ------------------------------------------------


async def test_wirings_get_destinations_named_after_their_chats(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED[:3])
    async with central(tmp_path) as writer:
        assert await rows(
            writer,
            "SELECT agent_group_id, local_name, target_type, target_id FROM agent_destinations ORDER BY 1, 4",
        ) == [
            ("ag-1", "family", "channel", "mg-1"),
            ("ag-1", "family-2", "channel", "mg-2"),
            ("ag-1", "tg-tg-3", "channel", "mg-3"),
            ("ag-2", "family", "channel", "mg-1"),
        ]


async def test_the_oldest_destination_of_a_wired_chat_becomes_the_wirings_destination(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
        old.execute(
            f"""
            INSERT INTO agent_destinations VALUES
              ('ag-1', 'a-second-name', 'channel', 'mg-1', '{LATER}'),
              ('ag-2', 'not-wired', 'channel', 'mg-2', '{LATER}')
            """
        )
    async with central(tmp_path) as writer:
        assert await rows(
            writer, "SELECT agent_group_id, local_name, wiring_id FROM agent_destinations ORDER BY 1, 2"
        ) == [
            ("ag-1", "a-second-name", None),
            ("ag-1", "family", "w-1"),
            ("ag-1", "family-2", "w-2"),
            ("ag-1", "tg-tg-3", "w-3"),
            ("ag-1", "two", None),
            ("ag-2", "family", "w-4"),
            ("ag-2", "not-wired", None),
        ]


async def test_only_the_newest_active_one_of_several_open_sessions_stays_open(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
    async with central(tmp_path) as writer:
        assert dict(await rows(writer, "SELECT id, status FROM sessions")) == {  # type: ignore[arg-type]  # pairs
            "s-old": "archived",
            "s-new": "active",
            "s-paused": "archived",
            "s-thread": "active",
            "s-gone": "archived",
        }


async def test_the_first_of_several_identical_grants_is_kept(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
    async with central(tmp_path) as writer:
        assert await rows(writer, "SELECT role, agent_group_id, granted_at FROM user_roles ORDER BY 1") == [
            ("admin", "ag-1", FIRST),
            ("owner", None, FIRST),
        ]


async def test_counts_of_unregistered_senders_are_kept(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
    async with central(tmp_path) as writer:
        assert await rows(
            writer, "SELECT user_id, message_count, first_seen, last_seen FROM unregistered_senders"
        ) == [("tg:7", 42, FIRST, LATER)]


async def test_the_obsolete_table_of_credentials_is_dropped(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED[:-1])
        old.execute(
            "CREATE TABLE pending_credentials (id TEXT); INSERT INTO pending_credentials VALUES ('c')"
        )
    async with central(tmp_path) as writer:
        assert "pending_credentials" not in await writer.run(tables)


OPEN_SESSIONS = st.lists(
    st.tuples(
        st.sampled_from(["ag-1", "ag-2"]),
        st.sampled_from([None, "mg-1"]),
        st.sampled_from([None, "t"]),
        st.sampled_from([None, "active", "paused", "archived"]),
        st.sampled_from([None, FIRST, LATER]),
    ),
    max_size=12,
)


@given(OPEN_SESSIONS)
@settings(max_examples=50, deadline=None)
def test_migration_leaves_one_open_session_for_each_place_and_loses_none(
    sessions: list[tuple[str | None, ...]],
) -> None:
    with made_by_hand(Path(":memory:")) as old:
        bring_to(old, SEED[:1])
        old.execute("DELETE FROM pending_questions; DELETE FROM sessions")
        for n, (agent, chat, thread, status, active) in enumerate(sessions):
            old.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, NULL, ?, 'stopped', ?, ?)",
                (f"s-{n}", agent, chat, thread, status, active, FIRST),
            )
        bring_to(old, CENTRAL[1:])
        places = {session[:3] for session in sessions if session[3] != "archived"}
        kept = old.execute(
            "SELECT agent_group_id, messaging_group_id, thread_id FROM sessions WHERE status <> 'archived'"
        ).fetchall()
        assert sorted(kept, key=str) == sorted(places, key=str)
        assert old.execute("SELECT count(*) FROM sessions").get == len(sessions)


# -- databases of other builds -------------------------------------------------


async def test_tables_columns_and_indexes_that_another_build_lacks_are_added(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
        old.execute("ALTER TABLE pending_questions DROP COLUMN title")
        old.execute("ALTER TABLE agent_groups DROP COLUMN agent_provider")
        old.execute("DROP INDEX idx_sessions_lookup; DROP TABLE chat_sdk_lists")
    async with central(tmp_path) as writer:
        assert await rows(writer, "SELECT question_id, title FROM pending_questions") == [("q-1", "")]
        assert "idx_sessions_lookup" in await writer.run(indexes)
        assert {"chat_sdk_lists", "meta"} <= set(await writer.run(tables))


async def test_title_and_options_may_exist_since_migration_003(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED[:3])
        old.execute("ALTER TABLE pending_approvals ADD COLUMN title TEXT NOT NULL DEFAULT ''")
    async with central(tmp_path) as writer:
        assert await rows(writer, "SELECT title, options_json FROM pending_approvals") == [("", "[]")]


async def test_a_gap_in_the_versions_does_not_matter(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
        old.execute("UPDATE schema_version SET version = -version - 2 WHERE version > 4")
        old.execute("UPDATE schema_version SET version = -version WHERE version < 0")
    async with central(tmp_path) as writer:
        applied = await rows(writer, "SELECT name, version FROM schema_version ORDER BY version")
        assert applied[-1] == (NAMES[-1], len(CENTRAL) + 2)


# -- refused -------------------------------------------------------------------


async def refused(data: Path, error: type[Exception], match: str) -> None:
    before = (data / "v2.db").read_bytes()
    with pytest.raises(error, match=match):
        async with central(data):
            pass
    assert (data / "v2.db").read_bytes() == before
    assert copies(data) == []


async def test_a_newer_database_is_refused_by_name_and_left_unchanged(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
        old.execute(f"INSERT INTO schema_version VALUES (50, 'engage-modes', '{FIRST}')")
    await refused(
        tmp_path, NewerDatabase, r"newer NanoClaw \(unknown migrations: engage-modes\); install that version"
    )


async def test_another_programs_database_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        old.execute("CREATE TABLE songs (title TEXT)")
    await refused(tmp_path, ForeignDatabase, "another program's database")


@pytest.mark.parametrize("size", [5, 700, 100_000])
async def test_a_file_that_is_not_a_database_is_refused_and_left_unchanged(tmp_path: Path, size: int) -> None:
    (tmp_path / "v2.db").write_bytes((b"garbage!" * size)[:size])
    await refused(tmp_path, ForeignDatabase, "not a SQLite database")


async def test_an_empty_file_is_treated_as_a_new_database(tmp_path: Path) -> None:
    (tmp_path / "v2.db").touch()
    async with central(tmp_path) as writer:
        assert await writer.run(applied_names) == NAMES


# -- copies --------------------------------------------------------------------


async def test_the_copy_holds_the_database_as_it_was_before_migration(tmp_path: Path) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
    async with central(tmp_path):
        pass
    (copy,) = copies(tmp_path)
    assert copy.name == "v2-20260101T120000.000Z.db"
    with made_by_hand(copy) as connection:
        assert applied_names(connection) == [m.name for m in SEED]
        assert connection.execute("SELECT count(*) FROM sessions").get == 5
        assert connection.execute("PRAGMA journal_mode").get == "delete"


async def test_an_up_to_date_database_is_not_copied(tmp_path: Path) -> None:
    for _ in range(2):
        async with central(tmp_path):
            pass
    assert copies(tmp_path) == []


async def test_the_last_three_copies_are_kept(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    for day in range(1, 5):
        (tmp_path / "backups" / f"v2-202501{day:02d}T000000.000Z.db").touch()
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
    async with central(tmp_path):
        pass
    assert [path.name[3:11] for path in copies(tmp_path)] == ["20250103", "20250104", "20260101"]


async def test_repeated_failures_of_a_migration_do_not_accumulate_copies(
    tmp_path: Path,
) -> None:
    with made_by_hand(tmp_path / "v2.db") as old:
        bring_to(old, SEED)
        old.execute("CREATE TABLE parked_events (id)")  # 011 makes that one
    for _ in range(5):
        with pytest.raises(Exception, match="parked_events already exists"):
            async with central(tmp_path):
                pass
    as_it_was, after_ours_before_it = sorted(copies(tmp_path), key=lambda path: path.stem)
    with made_by_hand(as_it_was) as connection:
        assert applied_names(connection) == [m.name for m in SEED]
    with made_by_hand(after_ours_before_it) as connection:
        assert applied_names(connection) == NAMES[: len(SEED) + 1]


def test_the_functions_of_migrations_are_slug_new_id_and_now() -> None:
    with made_by_hand(Path(":memory:")) as connection:
        slug, id_, now = connection.execute("SELECT slug('  Ärger & Co.'), new_id('ag'), now()").fetchall()[0]
        assert slug == "rger-co"
        assert isinstance(id_, str)
        assert id_.startswith("ag-")
        assert now == "2026-01-01T12:00:00.000Z"
