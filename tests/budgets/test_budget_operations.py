"""`budgets` and `usage` on the files, without a host, and as people read them."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nanoclaw.cli.status import status_lines
from nanoclaw.cli.tables import shown
from nanoclaw.operations import BadArguments, OperationFailed
from nanoclaw.operations.budgets import COLUMNS
from nanoclaw.operations.labels import plain
from nanoclaw.operations.usage import COLUMNS as USAGE
from nanoclaw.records import Amounts, UsageKey
from nanoclaw.registry import NewAlert, RecordUsage
from nanoclaw.store import NotFound
from nanoclaw.store.central.budgets import untold
from nanoclaw.testing import World
from tests.operations.desk import Desk, a_desk
from tests.store.openings import NOW

TODAY = NOW.date().isoformat()


async def use(desk: Desk, session: str, agent: str, day: str = TODAY, model: str = "m", **used: int) -> None:
    key = UsageKey(day, session, agent, "anthropic" if model else "", model)
    await desk.ground.registry.ask(RecordUsage([(key, Amounts(**used))]))


async def row(desk: Desk, scope: str, measure: str) -> tuple[float, float | None, int | None, str, str]:
    found = await desk.admin.budgets.list(all_=True)
    [one] = [each for each in found if (each.scope, each.measure) == (scope, measure)]
    return one.used, one.limit, one.percent, one.state, one.source


async def test_a_new_installation_has_the_default_budgets(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        found = [(each.scope, each.measure, each.limit) for each in await desk.admin.budgets.list()]
    assert found == [
        ("day", "money", 10.0),
        ("session", "turns", 500),
        ("session", "tool_calls", 2000),
        ("session", "messages", 1000),
        ("session", "tokens", 10_000_000),
    ]


async def test_what_is_used_is_added_up_by_scope(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await use(desk, session.id, session.agent_group_id, turns=400, micro_dollars=7_000_000)
        await use(desk, "gone", session.agent_group_id, micro_dollars=1_000_000)
        await use(desk, session.id, session.agent_group_id, day="2000-01-01", turns=100)
        assert await row(desk, f"session:{session.id}", "turns") == (400, 500, 80, "near", "default")
        assert await row(desk, f"agent:{session.agent_group_id}", "money") == (
            8.0,
            None,
            None,
            "ok",
            "default",
        )
        assert await row(desk, "day", "money") == (8.0, 10.0, 80, "near", "default")


@pytest.mark.parametrize("scope", ["session:cli:terminal", "agent:main"])
async def test_a_scope_is_named_as_people_name_it(tmp_path: Path, scope: str) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.session()
        [changed] = await desk.admin.budgets.set(scope, turns="7")
        assert (changed.limit, changed.source) == (7, "set")
        assert changed.scope.startswith(scope.partition(":")[0])


async def test_a_limit_is_set_removed_and_given_back_to_the_configuration(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.admin.budgets.set("day", money="0.5", turns="9")
        assert await row(desk, "day", "money") == (0.0, 0.5, 0, "ok", "set")
        await desk.admin.budgets.set("day", money="none")
        assert await row(desk, "day", "money") == (0.0, None, None, "ok", "set")
        await desk.admin.budgets.set("day", money="default")
        assert await row(desk, "day", "money") == (0.0, 10.0, 0, "ok", "default")
        assert await row(desk, "day", "turns") == (0, 9, 0, "ok", "set")


async def test_a_reset_counts_again_from_now_on_that_day(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await use(desk, "s", "a", turns=3, output_tokens=5, micro_dollars=9_000_000)
        await desk.admin.budgets.reset("day")
        assert await row(desk, "day", "money") == (0.0, 10.0, 0, "ok", "default")
        await use(desk, "s", "a", micro_dollars=500_000)
        assert await row(desk, "day", "money") == (0.5, 10.0, 5, "ok", "default")
        [today] = await desk.admin.usage.show()
        assert today.micro_dollars == 9_500_000


@pytest.mark.parametrize(
    ("scope", "limits", "error"),
    [
        ("week", {"turns": "1"}, "scope: must be day, agent:"),
        ("agent:", {"turns": "1"}, "scope: must be day, agent:"),
        ("day", {}, "give at least one limit"),
        ("day", {"turns": "-1"}, "turns: must be a whole number of at least 0, none or default, got '-1'"),
        ("day", {"turns": "1.5"}, "turns: must be a whole number"),
        ("day", {"turns": str(2**53)}, "turns: must be a whole number"),
        ("day", {"turns": "9" * 40}, "turns: must be a whole number"),
        ("day", {"money": "nan"}, "money: must be an amount of dollars"),
        ("day", {"money": "inf"}, "money: must be an amount of dollars"),
        ("day", {"money": "-0.01"}, "money: must be an amount of dollars"),
        ("day", {"money": "1e300"}, "money: must be an amount of dollars"),
    ],
)
async def test_a_limit_that_makes_no_sense_is_refused(
    tmp_path: Path, scope: str, limits: Any, error: str
) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(BadArguments) as raised:
            await desk.admin.budgets.set(scope, **limits)
        assert str(raised.value).startswith(error)
        assert await row(desk, "day", "money") == (0.0, 10.0, 0, "ok", "default")


async def test_an_unknown_agent_has_no_budget(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        with pytest.raises(NotFound):
            await desk.admin.budgets.set("agent:nobody", turns="1")
        with pytest.raises(OperationFailed):
            await desk.perform("budgets.reset", scope="session:nobody")


async def test_a_deleted_session_leaves_its_usage_and_takes_its_limits(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await use(desk, session.id, session.agent_group_id, turns=1)
        await desk.admin.budgets.set(f"session:{session.id}", turns="5")
        await desk.admin.sessions.archive(session.id)
        await desk.admin.sessions.delete(session.id)
        assert await row(desk, f"session:{session.id}", "turns") == (1, 500, 0, "ok", "default")


# -- usage ---------------------------------------------------------------------


async def test_usage_is_shown_by_day_agent_session_and_model(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        ids = session.id, session.agent_group_id
        await use(desk, *ids, model="", turns=2, messages=3)
        await use(desk, *ids, input_tokens=1000, output_tokens=50, micro_dollars=12_345)
        await use(desk, *ids, model="unknown", input_tokens=4, unpriced_tokens=4)
        await use(desk, *ids, day="1999-12-31", turns=1)
        names = {by: [each["name"] for each in await desk.perform("usage.show", by=by)] for by in GROUPS}
        [day] = await desk.perform("usage.show", days=1)
    assert names == {
        "day": [TODAY],
        "agent": ["agent main"],
        "session": ["conversation in cli:terminal"],
        "model": ["anthropic/m", "anthropic/unknown"],
    }
    assert (day["turns"], day["messages"], day["input"], day["output"]) == (2, 3, 1004, 50)
    assert day["cost"] == "$0.01 + ?"
    assert "? marks a model" in desk.notes[-1]


GROUPS = ("day", "agent", "session", "model")


async def test_rows_that_another_program_has_damaged_count_as_far_as_they_can(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await use(desk, "s", "a", turns=3, output_tokens=5)
        damage = (
            "UPDATE usage SET output_tokens = 'many', input_tokens = -7, micro_dollars = 9223372036854775807"
        )
        registry = desk.ground.registry
        await registry.ask(_Run(damage))
        await registry.ask(_Run("INSERT INTO budgets VALUES ('day', 'money', 'much', 'never')"))
        [day] = await desk.admin.usage.show(days=3660)
        assert (day.turns, day.output, day.input, day.micro_dollars) == (3, 0, 0, 2**53 - 1)
        assert (await row(desk, "day", "money"))[1] == 10.0


async def test_an_alert_about_a_damaged_agent_names_its_id(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        session = await desk.session()
        await desk.ground.registry.ask(_Run("UPDATE agent_groups SET created_at = 'never'"))
        scope = f"agent:{session.agent_group_id}"
        key = UsageKey(TODAY, session.id, session.agent_group_id, "", "")
        alert = NewAlert("1", TODAY, scope, "80 % of a budget of {scope}")
        await desk.ground.registry.ask(RecordUsage([(key, Amounts(turns=4))], [alert]))
        [found] = await desk.ground.central.run(untold, TODAY)
        assert found.text == f"80 % of a budget of {scope}"


class _Run:
    def __init__(self, sql: str) -> None:
        self.sql = sql

    async def handle(self, actor: Any) -> None:
        await actor.note(lambda connection: connection.execute(self.sql).fetchall())


async def test_the_tables_are_aligned(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await use(desk, "s", "a", turns=3, input_tokens=12, output_tokens=5, micro_dollars=111_000)
        usage = shown(await desk.perform("usage.show"), USAGE, ZoneInfo("UTC")).splitlines()
        budgets = shown(await desk.perform("budgets.list"), COLUMNS, ZoneInfo("UTC")).splitlines()
    assert usage == [
        "name        turns  tool calls  messages  input  cached  output  cost",
        f"{TODAY}  3      0           0         12     0       5       $0.11",
    ]
    assert budgets[1].split() == [
        "day",
        "money",
        "0.111",
        "10.0",
        "1",
        "ok",
        "default",
        *["the", "whole", "installation"],
    ]


# -- status --------------------------------------------------------------------


@pytest.mark.world(settings={"budgets.session.turns": 1})
async def test_the_status_for_people_shows_who_waits_and_why(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("a")
    await chat.expect("echo: a")
    await ann.says("b")
    await world.sleep(2)
    lines = list(status_lines(plain(await world.host.status())))
    assert any(line.startswith("budgets   used up: 1 of 1 turns of session:") for line in lines)
    assert any(line.startswith("  waits: the budget for today is used up: 1 of 1 turns") for line in lines)
