"""The tables `[budgets]` and `[prices]` of `config.toml`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from attrs import fields, frozen

from nanoclaw.config.kinds import Number, Unfit

NONE: Literal["none"] = "none"
MOST_DOLLARS = 1e9


@frozen
class Limit:
    """A limit a day: a number, or "none"."""

    whole: bool = True

    @property
    def wanted(self) -> str:
        """The words that complete "must be"."""
        return f'{self._number.wanted}, or "none"'

    @property
    def _number(self) -> Number:
        return Number(whole=self.whole)

    def read(self, value: object) -> float | str:
        """Return the number, or "none"."""
        if value == NONE:
            return NONE
        try:
            number = self._number.read(value)
        except Unfit:
            raise Unfit(self.wanted, value) from None
        if number > (2**53 - 1 if self.whole else MOST_DOLLARS):
            raise Unfit(f'{self.wanted}; one as high is written "none"', value)
        return number


Count = Annotated[int | Literal["none"], Limit()]
Dollars = Annotated[float | Literal["none"], Limit(whole=False)]


@frozen
class SessionBudget:
    """The budget of each session for a day. 0 allows nothing, "none" has no limit."""

    turns: Count = 500
    """Turns of its agent: one every three minutes, day and night."""
    tool_calls: Count = 2_000
    """Calls of tools: four a turn."""
    messages: Count = 1_000
    """Messages that it sends: two a turn."""
    tokens: Count = 10_000_000
    """Tokens read and written, without those that the server had in its cache."""
    money: Dollars = NONE
    """US dollars, by the table of prices."""


@frozen
class AgentBudget:
    """The budget of each agent for a day, over all its sessions."""

    turns: Count = NONE
    """Turns."""
    tool_calls: Count = NONE
    """Calls of tools."""
    messages: Count = NONE
    """Messages that it sends."""
    tokens: Count = NONE
    """Tokens read and written, without those that the server had in its cache."""
    money: Dollars = NONE
    """US dollars, by the table of prices."""


@frozen
class DayBudget:
    """The budget of the whole installation for a day."""

    turns: Count = NONE
    """Turns."""
    tool_calls: Count = NONE
    """Calls of tools."""
    messages: Count = NONE
    """Messages that agents send."""
    tokens: Count = NONE
    """Tokens read and written, without those that the server had in its cache."""
    money: Dollars = 10.0
    """US dollars, by the table of prices: the most that a mistake may cost before the owner hears of it."""


@frozen
class BudgetsConfig:
    """The limits of a day in the user's zone. `nanoclaw budgets set` overrides them."""

    session: SessionBudget = SessionBudget()
    agent: AgentBudget = AgentBudget()
    day: DayBudget = DayBudget()


UNLIMITED = BudgetsConfig(
    SessionBudget(NONE, NONE, NONE, NONE, NONE),
    AgentBudget(NONE, NONE, NONE, NONE, NONE),
    DayBudget(NONE, NONE, NONE, NONE, NONE),
)
"""Budgets without any limit."""
NO_BUDGETS: Mapping[str, str] = {
    f"budgets.{scope.name}.{measure.name}": NONE
    for scope in fields(BudgetsConfig)
    for measure in fields(SessionBudget)
}
"""Settings without any limit, for hosts that simulate days."""


@frozen
class PriceConfig:
    """The price of a model in US dollars for a million tokens."""

    input: Annotated[float, Number()]
    """Tokens read."""
    output: Annotated[float, Number()]
    """Tokens written."""
    cached_input: Annotated[float, Number()] | None = None
    """Tokens read from the server's cache. Left out, as `input`."""
    cache_write: Annotated[float, Number()] | None = None
    """Tokens written to the server's cache. Left out, as `input`."""
