"""The limits that hold for a session: those of its scopes, from the configuration or set by an operation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Literal

from attrs import Factory, frozen

from nanoclaw.config import Config
from nanoclaw.config.costs import MOST_DOLLARS, NONE, BudgetsConfig
from nanoclaw.config.origins import Origins
from nanoclaw.records import MEASURES, BudgetReset, BudgetRow, Measure
from nanoclaw.records.usage import MOST

ScopeKind = Literal["day", "agent", "session"]
DAY = "day"
"""The scope of the whole installation."""
MICRO = 1_000_000
NEAR = 80
"""The percentage at which the owner is told."""
State = Literal["ok", "near", "used up"]


def agent_scope(agent_group_id: str) -> str:
    """Return the scope of an agent."""
    return f"agent:{agent_group_id}"


def session_scope(session_id: str) -> str:
    """Return the scope of a session."""
    return f"session:{session_id}"


def scopes_of(session_id: str, agent_group_id: str) -> tuple[str, str, str]:
    """Return the scopes that count what a session uses, the widest first."""
    return DAY, agent_scope(agent_group_id), session_scope(session_id)


def kind_of(scope: str) -> str:
    """Return the kind of a scope: `day`, `agent` or `session`."""
    return scope.partition(":")[0]


def micro_dollars(dollars: float) -> int:
    """Return an amount of money as it is stored."""
    return round(dollars * MICRO)


def stored_amount(measure: Measure, given: str | float) -> int | None:
    """Return a limit as it is stored, or None if that is no amount of this measure."""
    is_money, stored = measure == "money", -1
    with suppress(ValueError, OverflowError):  # the latter for infinity
        stored = micro_dollars(float(given)) if is_money else int(given)
    return stored if 0 <= stored <= (micro_dollars(MOST_DOLLARS) if is_money else MOST) else None


@frozen
class Limit:
    """A limit, and its origin. `amount` None means no limit."""

    amount: int | None
    source: str


@frozen
class Standing:
    """What a scope has used of one limit."""

    scope: str
    measure: Measure
    used: int
    limit: Limit
    reset: str = ""
    """The date of a reset that counts today."""

    @property
    def percent(self) -> int:
        """The part that is used, rounded down. 100 if nothing is allowed."""
        amount = self.limit.amount
        if amount is None:
            return 0
        return 100 if amount == 0 else self.used * 100 // amount

    @property
    def state(self) -> State:
        """The state of the limit. At 100 % the breaker is open."""
        if self.percent >= 100:  # noqa: PLR2004 -- percent
            return "used up"
        return "near" if self.percent >= NEAR else "ok"

    @property
    def next_at(self) -> float:
        """The use at which the state changes next. Infinity if it does not."""
        amount = self.limit.amount
        if amount is None or self.state == "used up":
            return inf
        return -(-amount * NEAR // 100) if self.state == "ok" else amount

    def key(self, day: str) -> str:
        """Return the name of this budget on this day. One that is set or reset again has another name.

        A budget of 0 does not begin again, so it has one name on all days.
        """
        day = day if self.limit.amount else "always"
        return f"{day} {self.scope} {self.measure} {self.limit.amount} {self.reset}".rstrip()


@frozen
class Rules:
    """All limits: the defaults by kind of scope, those that were set, and the resets of one day."""

    defaults: Mapping[tuple[str, Measure], Limit]
    rows: Mapping[tuple[str, Measure], BudgetRow] = Factory(dict)
    resets: Mapping[str, BudgetReset] = Factory(dict)

    def having(self, rows: Sequence[BudgetRow], resets: Sequence[BudgetReset]) -> "Rules":
        """Return the rules with other rows."""
        by_key: dict[tuple[str, Measure], BudgetRow] = {(row.scope, row.measure): row for row in rows}
        return Rules(self.defaults, by_key, {reset.scope: reset for reset in resets})

    def limit(self, scope: str, measure: Measure) -> Limit:
        """Return the limit of a scope."""
        row = self.rows.get((scope, measure))
        return self.defaults[kind_of(scope), measure] if row is None else Limit(row.amount, "set")

    def standings(self, scope: str, used: Mapping[Measure, int]) -> Iterator[Standing]:
        """Yield what a scope has used of each measure since its reset."""
        reset = self.resets.get(scope)
        for measure in MEASURES:
            before, at = (reset.of(measure), reset.reset_at.isoformat()) if reset else (0, "")
            left = max(0, used.get(measure, 0) - before)
            yield Standing(scope, measure, left, self.limit(scope, measure), at)


def rules_of(config: Config) -> Rules:
    """Return the limits of a configuration."""
    return default_rules(config.budgets, config.origins)


def default_rules(config: BudgetsConfig | None = None, origins: Origins | None = None) -> Rules:
    """Return the limits of the tables `[budgets]`, or the built-in ones."""
    config, origins = config or BudgetsConfig(), origins or Origins()
    kinds: tuple[ScopeKind, ...] = ("day", "agent", "session")
    return Rules({(kind, each): _default(config, origins, kind, each) for kind in kinds for each in MEASURES})


def _default(config: BudgetsConfig, origins: Origins, kind: ScopeKind, measure: Measure) -> Limit:
    value = getattr(getattr(config, kind), measure)
    source = origins.place(("budgets", kind, measure))
    if value == NONE:
        return Limit(None, source)
    return Limit(micro_dollars(value) if measure == "money" else int(value), source)
