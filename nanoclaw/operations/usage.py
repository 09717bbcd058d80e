"""The noun `usage`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from attrs import frozen

from nanoclaw.budgets.days import day_of
from nanoclaw.budgets.words import dollars
from nanoclaw.operations.declaration import Between, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.records import Amounts
from nanoclaw.registry.usage import name_of
from nanoclaw.store import Connection
from nanoclaw.store.central import usage
from nanoclaw.store.central.usage import Group

COLUMNS = ("name", "turns", "tool_calls", "messages", "input", "cached", "output", "cost")
MOST_DAYS = 3660


@frozen
class UsageView:
    """What was used in some days."""

    name: str
    """The day, agent, session or model."""
    turns: int
    tool_calls: int
    messages: int
    input: int
    """Tokens read, without those from the server's cache."""
    cached: int
    """Tokens read from the server's cache."""
    cache_write: int
    """Tokens written to the server's cache."""
    output: int
    """Tokens written."""
    micro_dollars: int
    """The cost of the tokens whose price is known."""
    unpriced_tokens: int
    """Tokens of models whose price is not known."""
    cost: str
    """The cost for people. It ends with `?` where a price is not known."""


def _read(connection: Connection, by: Group, since: str, until: str) -> list[tuple[str, Amounts]]:
    found = usage.by(connection, by, since, until)
    if by not in {"agent", "session"}:
        return found
    return [(name_of(connection, f"{by}:{name}").removeprefix("the "), amounts) for name, amounts in found]


@frozen
class Usage(Noun):
    """What agents have used: tokens and money."""

    name = "usage"
    summary = "what agents have used: turns, tokens and money"
    alone = "show"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def show(
        self, *, days: Annotated[int, Between(1, MOST_DAYS)] = 7, by: Group = "day"
    ) -> Sequence[UsageView]:
        """Show what agents have used, by day, agent, session or model. `nanoclaw usage` does the same.

        Days are those of the user's zone. The cost is an estimate by the table of prices.

        Args:
            days: how many days, with today.
            by: what each line is about.
        """
        await self._ground.write_usage()
        now, zone = self._ground.now(), ZoneInfo(self._ground.zone)
        since = (now.astimezone(zone).date() - timedelta(days=days - 1)).isoformat()
        found = await self._central.run(_read, by, since, day_of(now, zone))
        if any(amounts.unpriced_tokens for _, amounts in found):
            self.note("? marks a model whose price is not known, so it counts as $0: set it in [prices]")
        return [_view(name, amounts) for name, amounts in found]


def _view(name: str, amounts: Amounts) -> UsageView:
    mark = "?" if amounts.unpriced_tokens else ""
    known = "" if mark and not amounts.micro_dollars else dollars(amounts.micro_dollars)
    return UsageView(
        name,
        amounts.turns,
        amounts.tool_calls,
        amounts.messages,
        amounts.input_tokens,
        amounts.cached_tokens,
        amounts.cache_write_tokens,
        amounts.output_tokens,
        amounts.micro_dollars,
        amounts.unpriced_tokens,
        " + ".join(filter(None, [known, mark])),
    )
