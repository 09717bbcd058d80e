"""What agents use: amounts, and the rows of the central database about them."""

from datetime import datetime
from typing import Literal, get_args

from attrs import fields, frozen

Measure = Literal["turns", "tool_calls", "messages", "tokens", "money"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
MOST = 2**53 - 1
"""The largest amount, which every JSON reader holds exactly. A larger sum stays there."""


@frozen(kw_only=True)
class Amounts:
    """Amounts of everything that is counted. None is below 0 or above `MOST`."""

    turns: int = 0
    tool_calls: int = 0
    messages: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    micro_dollars: int = 0
    unpriced_tokens: int = 0
    """Tokens of models whose price is not known."""

    @property
    def tokens(self) -> int:
        """The tokens that budgets count: those read from the server's cache are left out."""
        return min(MOST, self.input_tokens + self.cache_write_tokens + self.output_tokens)

    def plus(self, other: "Amounts") -> "Amounts":
        """Return the sum."""
        return Amounts(
            turns=min(MOST, self.turns + other.turns),
            tool_calls=min(MOST, self.tool_calls + other.tool_calls),
            messages=min(MOST, self.messages + other.messages),
            input_tokens=min(MOST, self.input_tokens + other.input_tokens),
            cached_tokens=min(MOST, self.cached_tokens + other.cached_tokens),
            cache_write_tokens=min(MOST, self.cache_write_tokens + other.cache_write_tokens),
            output_tokens=min(MOST, self.output_tokens + other.output_tokens),
            micro_dollars=min(MOST, self.micro_dollars + other.micro_dollars),
            unpriced_tokens=min(MOST, self.unpriced_tokens + other.unpriced_tokens),
        )

    def of(self, measure: Measure) -> int:
        """Return one measure. Money is in micro-dollars."""
        return self.micro_dollars if measure == "money" else int(getattr(self, measure))


AMOUNTS: tuple[str, ...] = tuple(field.name for field in fields(Amounts))
"""The names of the amounts, which are also columns of `usage`."""


@frozen
class UsageKey:
    """What an amount of usage is counted for. `provider` is empty if the session has counted it."""

    day: str
    """In the user's zone, as YYYY-MM-DD."""
    session_id: str
    agent_group_id: str
    provider: str
    model: str


@frozen
class BudgetRow:
    """A limit that was set by an operation. `amount` None means no limit."""

    scope: str
    """`day`, `agent:<id>` or `session:<id>`."""
    measure: Measure
    amount: int | None
    set_at: datetime


@frozen
class BudgetReset:
    """What a scope had used at the last reset. On that day, it does not count."""

    scope: str
    day: str
    turns: int
    tool_calls: int
    messages: int
    tokens: int
    micro_dollars: int
    reset_at: datetime

    def of(self, measure: Measure) -> int:
        """Return one measure. Money is in micro-dollars."""
        return self.micro_dollars if measure == "money" else int(getattr(self, measure))


@frozen
class BudgetAlert:
    """A sentence about a budget for the owner."""

    id: str
    day: str
    text: str
    session_id: str | None
    """The session that tells it. None: none is chosen yet."""
    told: bool
    created_at: datetime
