"""The noun `budgets`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated
from zoneinfo import ZoneInfo

from attrs import frozen

from nanoclaw.budgets.days import day_of
from nanoclaw.budgets.limits import (
    DAY,
    MICRO,
    Rules,
    Standing,
    agent_scope,
    kind_of,
    session_scope,
    stored_amount,
)
from nanoclaw.operations import references
from nanoclaw.operations.declaration import Named, Text, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.references import quoted
from nanoclaw.operations.rights import Right
from nanoclaw.records import MEASURES, Amounts, BudgetReset, BudgetRow, Measure
from nanoclaw.records.usage import MOST
from nanoclaw.registry import ResetBudget, SetBudget
from nanoclaw.registry.usage import name_of
from nanoclaw.store import Connection
from nanoclaw.store.central import budgets, usage

COLUMNS = ("scope", "measure", "used", "limit", "percent", "state", "source", "name")
NO_LIMIT, DEFAULT = "none", "default"
FORMS = "day, agent:<folder, name or id>, or session:<id, or channel:platform_id[/thread]>"

ScopeRef = Annotated[str, Text(longest=1200)]
"""A scope: `day`, `agent:...` or `session:...`."""
Amount = Annotated[str | None, Text(longest=40)]
"""A number, `none` or `default`."""


@frozen
class BudgetView:
    """What a scope has used of one limit today. Money is in dollars."""

    scope: str
    measure: str
    used: float
    limit: float | None
    """None: no limit."""
    percent: int | None
    state: str
    """ok, near (80 % and more) or used up."""
    source: str
    """The origin of the limit: `set`, or a place of the configuration."""
    name: str
    """The scope by its name."""


@frozen
class Books:
    """The rows of a day."""

    used: Mapping[str, Amounts]
    rows: Sequence[BudgetRow]
    resets: Sequence[BudgetReset]
    names: Mapping[str, str]


def _read(connection: Connection, day: str) -> Books:
    used = dict[str, Amounts]()
    for session_id, agent_group_id, amounts in usage.on_day(connection, day):
        for scope in (DAY, agent_scope(agent_group_id), session_scope(session_id)):
            used[scope] = used.get(scope, Amounts()).plus(amounts)
    rows = budgets.every(connection)
    scopes = {DAY, *used, *(row.scope for row in rows)}
    names = {scope: name_of(connection, scope) for scope in scopes}
    return Books(used, rows, budgets.resets(connection, day), names)


def _resolved(connection: Connection, scope: str) -> str:
    """Return a scope with an id in the place of a name. Raises BadArguments, NotFound, Ambiguous."""
    kind, _, name = scope.partition(":")
    if scope == DAY:
        return DAY
    if kind == "agent" and name:
        return agent_scope(references.resolve(connection, "agent", name).id)
    if kind == "session" and name:
        return session_scope(references.resolve(connection, "session", name).id)
    raise BadArguments(f"scope: must be {FORMS}, got {quoted(scope)}")


@frozen
class Budgets(Noun):
    """What agents may use a day, and what they have used of it."""

    name = "budgets"
    summary = "what agents may use a day, and what they have used of it"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(
        self,
        *,
        all_: Annotated[bool | None, Named("all")] = None,
    ) -> Sequence[BudgetView]:
        """List the limits of today and what is used of them, in the user's zone.

        Agents and sessions are listed if they have used some of it today, or have a limit of their own.

        Args:
            all_: also what has no limit, or is not used.
        """
        return [each for each in await self._views() if all_ or (each.limit is not None and _matters(each))]

    @operation(right=Right.OWNER, columns=COLUMNS)
    async def set(  # noqa: PLR0913 -- the measures, by name
        self,
        scope: ScopeRef,
        *,
        turns: Amount = None,
        tool_calls: Amount = None,
        messages: Amount = None,
        tokens: Amount = None,
        money: Amount = None,
    ) -> Sequence[BudgetView]:
        """Set limits for a day. They hold at once, and sessions that waited go on.

        Each is a number, `none` for no limit, or `default` for that of the configuration. 0 allows nothing.

        Args:
            scope: `day`, `agent:NAME` or `session:NAME`.
            turns: turns of agents.
            tool_calls: calls of tools.
            messages: messages that agents send.
            tokens: tokens read and written, without those from the server's cache.
            money: US dollars, by the table of prices.
        """
        given: dict[Measure, str | None] = {
            "turns": turns,
            "tool_calls": tool_calls,
            "messages": messages,
            "tokens": tokens,
            "money": money,
        }
        named: dict[Measure, str] = {each: value for each, value in given.items() if value is not None}
        if not named:
            raise BadArguments("give at least one limit, such as --money 5")
        id_ = await self._central.run(_resolved, scope)
        defaults: Sequence[Measure] = [measure for measure, value in named.items() if value == DEFAULT]
        amounts: dict[Measure, int | None] = {
            each: _amount(each, value) for each, value in named.items() if value != DEFAULT
        }
        await self._registry.ask(SetBudget(id_, amounts, defaults))
        return [each for each in await self._views(id_) if each.measure in named]

    @operation(right=Right.OWNER, columns=COLUMNS)
    async def reset(self, scope: ScopeRef) -> Sequence[BudgetView]:
        """Let what was used today not count any more. The usage itself is kept.

        Args:
            scope: `day`, `agent:NAME` or `session:NAME`.
        """
        id_ = await self._central.run(_resolved, scope)
        await self._ground.write_usage()
        await self._registry.ask(ResetBudget(id_, self._today))
        return [each for each in await self._views(id_) if each.limit is not None]

    @property
    def _today(self) -> str:
        return day_of(self._ground.now(), ZoneInfo(self._ground.zone))

    async def _views(self, scope: str | None = None) -> Sequence[BudgetView]:
        await self._ground.write_usage()
        books = await self._central.run(_read, self._today)
        rules = self._ground.rules.having(books.rows, books.resets)
        if scope is not None:
            names = {scope: books.names.get(scope, "")}
            return [*_views_of(rules, books, names)]
        order = {"day": 0, "agent": 1, "session": 2}
        names = dict(sorted(books.names.items(), key=lambda each: (order.get(kind_of(each[0]), 3), each)))
        return [*_views_of(rules, books, names), *_each(rules)]


def _matters(view: BudgetView) -> bool:
    """Return False for a limit that an agent or session has not begun to use, and that is nothing special."""
    return ":" not in view.scope or view.used > 0 or view.source == "set"


def _views_of(rules: Rules, books: Books, names: Mapping[str, str]) -> Iterator[BudgetView]:
    for scope, name in names.items():
        if kind_of(scope) not in {"day", "agent", "session"}:
            continue  # a row of another program
        amounts = books.used.get(scope, Amounts())
        for standing in rules.standings(scope, {measure: amounts.of(measure) for measure in MEASURES}):
            yield _view(standing, name)


def _each(rules: Rules) -> Iterator[BudgetView]:
    """Yield the limits of the agents and sessions that have none of their own."""
    for kind, name in (("agent", "each agent"), ("session", "each session")):
        for standing in rules.standings(f"{kind}:", {}):
            yield _view(standing, name)


def _view(standing: Standing, name: str) -> BudgetView:
    measure, amount = standing.measure, standing.limit.amount
    return BudgetView(
        scope=standing.scope.removesuffix(":"),
        measure=measure,
        used=_number(measure, standing.used),
        limit=None if amount is None else _number(measure, amount),
        percent=None if amount is None else min(standing.percent, MOST),
        state=standing.state,
        source=standing.limit.source,
        name=name,
    )


def _number(measure: Measure, amount: int) -> float:
    return amount / MICRO if measure == "money" else amount


def _amount(measure: Measure, text: str) -> int | None:
    """Return a limit as it is stored. Raises BadArguments."""
    if text == NO_LIMIT:
        return None
    stored = stored_amount(measure, text)
    if stored is None:
        what = "an amount of dollars" if measure == "money" else "a whole number"
        raise BadArguments(f"{measure}: must be {what} of at least 0, none or default, got {quoted(text)}")
    return stored
