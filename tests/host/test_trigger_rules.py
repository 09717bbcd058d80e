"""Trigger rules that do not fit, and patterns that are slow or cannot be matched. They fail closed."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from nanoclaw.cli.status import status_lines
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.host_status import HostStatus
from nanoclaw.operations.labels import plain
from nanoclaw.registry.trigger_rules import BadRules, read_rules
from nanoclaw.store import ThreadExecutor
from nanoclaw.system import patterns
from nanoclaw.system.clock import SystemClock
from nanoclaw.system.patterns import MAX_COST, BadPattern, Pattern, TooCostly, compiled
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config
from tests.host.runtimes import FakeRuntime
from tests.operations.desk import a_desk

BAD: list[tuple[Mapping[str, object], str]] = [
    ({"patern": "^help"}, r"^trigger_rules has no key 'patern'; did you mean pattern\?$"),
    ({"include_senders": ["net:boss"]}, "has no key 'include_senders'; did you mean includeSenders"),
    ({"x": 1}, "has no key 'x'; the keys are pattern, requiresTrigger, mentionOnly, sticky, includeSenders"),
    ({"includeSenders": "net:boss"}, 'includeSenders must be a list of user ids.*, got "net:boss"'),
    ({"includeSenders": ["boss"]}, 'includeSenders must be a list in which each .* prefix.*, got "boss"'),
    ({"includeSenders": ["net:boss", 5]}, "includeSenders must be a list in which each .*, got 5"),
    ({"includeSenders": []}, r"includeSenders must be .* at least one of them, .*, got \[\]"),
    ({"includeSenders": None}, "includeSenders must be a list of user ids.*, got null"),
    ({"excludeSenders": "net:me"}, 'excludeSenders must be a list of user ids.*, got "net:me"'),
    ({"excludeSenders": {"net:me": True}}, "excludeSenders must be a list of user ids"),
    ({"pattern": 7}, "pattern must be a regular expression that is not empty, got 7"),
    ({"pattern": ""}, 'pattern must be a regular expression that is not empty, got ""'),
    ({"pattern": ["^help"]}, "pattern must be a regular expression"),
    (
        {"pattern": "("},
        r'trigger_rules.pattern "\(" is not a regular expression \(missing \): \(, at character 1\)',
    ),
    ({"pattern": "^help|x)"}, r"unexpected \): \^help\|x\), at character 8\)"),
    ({"pattern": "^help|[a-"}, r"missing \]: \[a-, at character 7\)"),
    ({"pattern": "ab*cd**"}, r"bad repetition operator: \*\*, at character 6\)"),
    ({"pattern": "^(?=help)"}, "is not a regular expression .*no look-around, no back-references"),
    ({"pattern": r"(a)\1"}, "is not a regular expression .*no look-around, no back-references"),
    ({"pattern": "\\pL{1000}"}, "is not a regular expression .*too large"),
    ({"pattern": "\ud800"}, "has half of a character"),
    ({"mentionOnly": "yes"}, 'mentionOnly must be true or false, got "yes"'),
    ({"requiresTrigger": 1}, "requiresTrigger must be true or false, got 1"),
    ({"sticky": "true"}, 'sticky must be true or false, got "true"'),
    ({"ignored": "keep"}, 'ignored must be one of drop, accumulate, got "keep"'),
    ({"patern": "a", "sticky": 0}, "no key 'patern'.*; trigger_rules.sticky must be true or false, got 0"),
]


@asynccontextmanager
async def a_host(home: Path, channel: FakeChannel) -> AsyncIterator[Host]:
    with trio.fail_after(GUARD_S):
        seams = Seams(runtime=FakeRuntime(), executor=ThreadExecutor())
        async with open_host(config(home), channels=[channel], seams=seams) as host:
            yield host


def write_by_hand(home: Path, column: str, value: object) -> None:
    sql = "UPDATE messaging_group_agents SET trigger_rules = ?"
    connection = apsw.Connection(str(home / "data" / "v2.db"))
    connection.execute(sql.replace("trigger_rules", column), (value,))
    connection.close()


@pytest.mark.parametrize(("rules", "error"), BAD)
def test_rules_that_do_not_fit_are_refused_with_the_key_and_the_value(
    rules: Mapping[str, object], error: str
) -> None:
    with pytest.raises(BadRules, match=error):
        read_rules(rules)


async def test_rules_are_refused_wherever_they_come_in(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        wiring, agents = await wire(host, channel.address()), host.admin.agents
        other, rules = await agents.create("other"), {"patern": "^help"}
        with pytest.raises(BadRules):
            await host.admin.wirings.create(wiring.messaging_group_id, other.id, trigger_rules=rules)
        with pytest.raises(BadRules):
            await host.admin.wirings.connect(channel.address("new"), "other", trigger_rules=rules)
        with pytest.raises(BadRules):
            await host.admin.wirings.update(wiring.id, trigger_rules=rules)
        assert [each.trigger_rules for each in await host.admin.wirings.list()] == [{}]


ROWS = [
    ("trigger_rules", '{"patern": "^help"}', "no key 'patern'"),
    ("trigger_rules", '{"includeSenders": "fake:user"}', "includeSenders must be a list"),
    ("trigger_rules", '{"pattern": "^(?=h)"}', "look-around"),
    ("trigger_rules", "pattern: ^help", 'must be a JSON object, got "pattern: ^help"'),
    ("trigger_rules", "null", 'must be a JSON object, got "null"'),
    ("trigger_rules", "[]", 'must be a JSON object, got "[]"'),
    ("trigger_rules", b"\xff", 'must be a JSON object, got "blob"'),
]


@pytest.mark.parametrize(("column", "value", "reason"), ROWS)
async def test_a_wiring_that_another_program_wrote_badly_hears_nobody_and_is_shown(
    tmp_path: Path, column: str, value: object, reason: str
) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address())
    write_by_hand(tmp_path, column, value)
    async with a_host(tmp_path, channel) as host:
        for mention in (False, True):
            routed = await channel.say("help", mention=mention)
            assert (routed.session_ids, bool(routed.dropped)) == ((), True)
        [line] = [line for line in await _status(host, tmp_path) if "nobody is heard" in line]
        assert reason in line


async def _status(host: Host, home: Path) -> list[str]:
    status = HostStatus(host._root, host.sessions, host.central, config(home), SystemClock(), "fake", tuple)
    return list(status_lines(plain(await status.status())))


async def test_a_wiring_that_hears_nobody_is_listed_with_the_reason_and_can_be_mended(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.session()
    write_by_hand(tmp_path, "trigger_rules", "^help")
    async with a_desk(tmp_path) as desk:
        for name, params in (("wirings.list", {}), ("wirings.show", {"wiring": "cli:terminal"})):
            shown = await desk.perform_with(name, params)
            [row] = shown if isinstance(shown, list) else [shown]
            assert row["problem"].startswith("nobody is heard: trigger_rules must be a JSON object, got")
        # Another change does not turn unreadable rules into rules that everybody passes.
        assert (await desk.perform("wirings.set", wiring="cli:terminal", priority=3))["problem"]
        mended = await desk.perform("wirings.set", wiring="cli:terminal", trigger={"pattern": "^help"})
        assert (mended["problem"], mended["priority"]) == (None, 3)


# -- patterns ----------------------------------------------------------------------

SLOW = r"^(\w+\s?)*help$"


async def on_no_thread(call: Any) -> bool:
    raise AssertionError(call)


async def test_a_pattern_that_backtracks_stops_nobody(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with a_host(tmp_path, channel) as host:
        await wire(host, channel.address("slow"), trigger_rules={"pattern": SLOW})
        await wire(host, channel.address("other"))
        text = "a" * 28 + "!"
        with trio.fail_after(2):
            assert (await channel.say(text, chat="slow")).dropped
            assert (await channel.say("a " * 100_000 + "!", chat="slow")).dropped
            assert (await channel.say("please help", chat="slow")).session_ids
            assert (await channel.say("x", chat="other")).session_ids


async def test_a_short_match_needs_no_thread_and_ignores_case() -> None:
    assert await compiled("^help").is_in("HELP me", on_no_thread)
    assert await compiled("grüße").is_in("viele GRÜSSE, viele GRÜßE", on_no_thread)
    assert not await compiled("^help").is_in("please help", on_no_thread)


async def test_a_match_that_would_take_seconds_is_not_tried() -> None:
    pattern = compiled(r"(.{0,100}a){0,9}z")
    with pytest.raises(TooCostly, match="too many for this pattern"):
        await pattern.is_in("b" * (MAX_COST // pattern.size + 1), on_no_thread)


def test_a_pattern_is_compiled_once() -> None:
    rules = {"pattern": "^once"}
    assert read_rules(rules).pattern is read_rules(dict(rules)).pattern


# -- without RE2 -------------------------------------------------------------------


@pytest.fixture
def no_re2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "re2", None)


@pytest.mark.usefixtures("no_re2")
async def test_without_re2_a_pattern_is_matched_in_a_process_that_is_killed_at_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def in_thread(call: Any) -> bool:
        return bool(await trio.to_thread.run_sync(call))

    def pattern(text: str) -> Pattern:
        return patterns.compiled.__wrapped__(text)

    assert await pattern("^HELP").is_in("help é", in_thread)
    assert not await pattern("^help(?= me)").is_in("help you", in_thread)
    with pytest.raises(BadPattern, match="not a regular expression"):
        pattern("(")
    monkeypatch.setattr(patterns, "PROCESS_LIMIT_S", 0.2)
    with trio.fail_after(GUARD_S), pytest.raises(TooCostly, match=r"more than 0\.2 s"):
        await pattern(SLOW).is_in("a" * 40 + "!", in_thread)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TooCostly, match="failed with code 1"):
        await pattern("^help").is_in("help", in_thread)
