"""Prices, amounts, limits and days: pure functions."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.budgets.counting import LONGEST_NAME, MOST_AT_ONCE, amounts_of, name_of
from nanoclaw.budgets.days import day_of, next_day
from nanoclaw.budgets.limits import Limit, Standing, default_rules
from nanoclaw.budgets.prices import BUILT_IN, Prices, cost, is_near
from nanoclaw.budgets.words import dollars
from nanoclaw.config.costs import PriceConfig
from nanoclaw.gateway.meter import ModelUsage
from nanoclaw.records import Amounts
from nanoclaw.records.usage import MOST

SONNET = PriceConfig(3.0, 15.0, 0.3, 3.75)
EXACT = Amounts(input_tokens=1_000_000, cached_tokens=2_000_000, cache_write_tokens=400_000, output_tokens=7)
counts = st.integers(0, MOST_AT_ONCE)


# -- money ---------------------------------------------------------------------


def test_a_cost_is_exact_in_micro_dollars() -> None:
    assert cost(EXACT, SONNET) == 3_000_000 + 600_000 + 1_500_000 + 105


def test_a_part_of_a_micro_dollar_is_rounded_up() -> None:
    assert cost(Amounts(output_tokens=1), PriceConfig(0.1, 0.4)) == 1
    assert (
        cost(Amounts(input_tokens=10), PriceConfig(0.1, 0.4)) == 1
    )  # exactly 1, though 0.1 is no binary number
    assert cost(Amounts(input_tokens=30), PriceConfig(0.1, 0.4)) == 3


def test_the_cache_costs_as_input_if_its_price_is_left_out() -> None:
    used = Amounts(cached_tokens=5, cache_write_tokens=7)
    assert cost(used, PriceConfig(2.0, 9.0)) == 24


@given(counts, counts)
def test_requests_cost_the_same_together_as_one_by_one(first: int, second: int) -> None:
    parts = cost(Amounts(input_tokens=first), SONNET) + cost(Amounts(input_tokens=second), SONNET)
    assert parts == cost(Amounts(input_tokens=first + second), SONNET)


@pytest.mark.parametrize(
    ("micro", "shown"),
    [
        (0, "$0.00"),
        (10_000_000, "$10.00"),
        (1_234_567_890, "$1,234.57"),
        (105, "$0.000105"),
        (9_900, "$0.0099"),
    ],
)
def test_money_is_shown_with_the_digits_that_it_needs(micro: int, shown: str) -> None:
    assert dollars(micro) == shown


# -- prices --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "known_as"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-5.1", "gpt-5.1"),
    ],
)
def test_a_dated_name_has_the_price_of_its_model(model: str, known_as: str) -> None:
    assert Prices({}).find(model, None) == BUILT_IN[known_as]


@pytest.mark.parametrize(
    "model", ["gpt-5.5", "claude-opus-4-6", "gpt-4o-audio-preview", "llama3.2", "", "x" * 10_000]
)
def test_the_price_of_another_model_is_not_guessed(model: str) -> None:
    assert Prices({}).find(model, None) is None


def test_the_longest_name_of_the_configuration_counts_before_the_built_in_table() -> None:
    prices = Prices({"gpt": PriceConfig(1, 1), "gpt-4o": PriceConfig(2, 2)})
    assert prices.find("gpt-4o-2024-08-06", None) == PriceConfig(2, 2)
    assert prices.find("gpt-6", None) == PriceConfig(1, 1)
    assert prices.find("gpt-6", "http://localhost/v1") == PriceConfig(1, 1)


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://192.168.1.20/v1", True),
        ("http://localhost:1234", True),
        ("http://ollama:11434/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://8.8.8.8/v1", False),
        ("http://127.0.0.1.evil.example/v1", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_a_model_on_the_machine_or_in_the_house_is_free(url: str, near: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    assert is_near(url) == near
    found = Prices({}).find("llama3.2", url)
    assert (found is not None and cost(EXACT, found) == 0) == near


# -- what a server reports -----------------------------------------------------


def usage(**values: Any) -> ModelUsage:
    return ModelUsage(session_id="s", agent_group_id="a", provider="openai", model="gpt-4o", **values)


@pytest.mark.parametrize("value", [-5, 10**30, True, None, "7", 3.5, float("nan")])
def test_a_hostile_count_is_bounded(value: object) -> None:
    found = amounts_of(usage(input_tokens=value, output_tokens=value, tool_calls=value), Prices({}), None)
    assert 0 <= found.input_tokens <= MOST_AT_ONCE
    assert 0 <= found.tool_calls <= MOST_AT_ONCE
    assert 0 <= found.micro_dollars <= MOST


@given(st.text())
def test_a_hostile_name_can_be_stored_and_shown(text: str) -> None:
    name = name_of(text)
    assert 0 < len(name) <= LONGEST_NAME
    assert name.isprintable()
    name.encode()


def test_tokens_of_an_unknown_price_are_counted_apart() -> None:
    spent = ModelUsage(
        session_id="s", agent_group_id="a", provider="p", model="m", input_tokens=3, cached_tokens=4
    )
    assert amounts_of(spent, Prices({}), None) == Amounts(input_tokens=3, cached_tokens=4, unpriced_tokens=7)
    assert amounts_of(spent, Prices({}), "http://127.0.0.1").unpriced_tokens == 0


def test_a_sum_stays_at_the_largest_amount() -> None:
    full = Amounts(output_tokens=MOST, micro_dollars=MOST)
    assert full.plus(full) == full
    assert full.plus(Amounts(input_tokens=1)).tokens == MOST


def test_tokens_from_the_cache_count_in_no_budget_of_tokens() -> None:
    assert EXACT.of("tokens") == 1_400_007


# -- limits --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "limit", "state"),
    [
        (0, None, "ok"),
        (MOST, None, "ok"),
        (79, 100, "ok"),
        (80, 100, "near"),
        (99, 100, "near"),
        (100, 100, "used up"),
        (0, 0, "used up"),
        (799_999, 1_000_000, "ok"),
        (4, 5, "near"),
    ],
)
def test_a_budget_is_near_at_80_and_used_up_at_100_percent(used: int, limit: int | None, state: str) -> None:
    assert Standing("day", "turns", used, Limit(limit, "set")).state == state


def test_a_default_budget_is_on() -> None:
    rules = default_rules()
    assert rules.limit("session:x", "turns").amount == 500
    assert rules.limit("session:x", "tool_calls").amount == 2_000
    assert rules.limit("session:x", "messages").amount == 1_000
    assert rules.limit("session:x", "tokens").amount == 10_000_000
    assert rules.limit("day", "money").amount == 10_000_000
    assert rules.limit("agent:x", "money").amount is None


# -- days ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "now", "day", "midnight"),
    [
        ("UTC", "2026-03-01T12:00:00+00:00", "2026-03-01", "2026-03-02T00:00:00+00:00"),
        ("Europe/Berlin", "2026-03-28T23:30:00+00:00", "2026-03-29", "2026-03-29T22:00:00+00:00"),  # 23 hours
        ("Europe/Berlin", "2026-10-24T22:00:00+00:00", "2026-10-25", "2026-10-25T23:00:00+00:00"),  # 25 hours
        ("Pacific/Kiritimati", "2026-01-01T10:00:00+00:00", "2026-01-02", "2026-01-02T10:00:00+00:00"),
        # Midnight is left out: the day begins at 1:00.
        ("Africa/Cairo", "2026-04-23T12:00:00+00:00", "2026-04-23", "2026-04-23T22:00:00+00:00"),
        # Midnight comes twice; now is in the second hour before it.
        ("America/Havana", "2026-11-01T03:30:00+00:00", "2026-10-31", "2026-11-01T04:00:00+00:00"),
    ],
)
def test_a_day_is_that_of_the_users_zone(zone: str, now: str, day: str, midnight: str) -> None:
    moment = datetime.fromisoformat(now)
    assert day_of(moment, ZoneInfo(zone)) == day
    assert next_day(moment, ZoneInfo(zone)) == datetime.fromisoformat(midnight)


MOMENTS = st.integers(0, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(
    MOMENTS,
    st.sampled_from(
        ["UTC", "Europe/Berlin", "America/Havana", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Apia"]
    ),
)
def test_the_next_day_is_later_and_begins_then(now: datetime, zone: str) -> None:
    there, begins = ZoneInfo(zone), next_day(now, ZoneInfo(zone))
    assert now < begins <= now + timedelta(hours=49)
    assert day_of(begins, there) > day_of(now, there)
