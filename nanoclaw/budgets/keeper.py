"""The keeper of budgets: it counts what agents use, and opens a breaker when a budget is used up.

It is the `Meter` of the gateway, and the sessions report their turns and messages. Amounts count at once.
What models took is on disk when `spent` returns. Counts of turns and messages follow within `FLUSH_S`,
many in one commit. Only the registry writes.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from math import inf
from zoneinfo import ZoneInfo

import structlog
import trio
from attrs import Factory, define, field, frozen

from actors import ActorError, Context, Ref
from nanoclaw.budgets import words
from nanoclaw.budgets.breakers import OpenBreaker, breaker_of, first_used_up, key_of
from nanoclaw.budgets.counting import MOST_MODELS, OTHER, amounts_of, name_of
from nanoclaw.budgets.days import day_of, next_day
from nanoclaw.budgets.limits import (
    DAY,
    NEAR,
    Rules,
    Standing,
    rules_of,
    scopes_of,
)
from nanoclaw.budgets.prices import Prices
from nanoclaw.config import Config
from nanoclaw.gateway.meter import ModelUsage
from nanoclaw.records import MEASURES, Amounts, BudgetReset, BudgetRow, Measure, UsageKey
from nanoclaw.registry import Changes, NewAlert, RecordUsage, Registry
from nanoclaw.store import Connection, Reader, StoreError
from nanoclaw.store.central import budgets, usage
from nanoclaw.store.engine.mutex import Mutex
from nanoclaw.system.clock import Clock

FLUSH_S = 1.0
"""Longest delay in seconds of the write of counts. A crash loses at most these."""
AGAIN_S = 5.0
"""Delay in seconds before a failed write or read is repeated."""
LONGEST_SLEEP_S = 3600.0

_log = structlog.get_logger()


@frozen
class _Watcher:
    """A living session. `changed` only signals."""

    session_id: str
    agent_group_id: str
    changed: Callable[[], None]


@frozen
class _Books:
    """The rows of one day."""

    used: dict[str, Amounts]
    rows: list[BudgetRow]
    resets: list[BudgetReset]
    raised: frozenset[str]
    unpriced: list[str]


def _read(connection: Connection, day: str) -> _Books:
    used = dict[str, Amounts]()
    for session_id, agent_group_id, amounts in usage.on_day(connection, day):
        for scope in scopes_of(session_id, agent_group_id):
            used[scope] = used.get(scope, Amounts()).plus(amounts)
    raised = frozenset(alert.id for alert in budgets.alerts(connection, day))
    rows, resets = budgets.every(connection), budgets.resets(connection, day)
    return _Books(used, rows, resets, raised, usage.unpriced(connection, day))


@define(eq=False)
class BudgetKeeper:
    """Counts, and decides which sessions must wait. Synchronous calls read memory only."""

    _registry: Ref[Registry]
    _central: Reader
    _changes: Changes
    _clock: Clock
    _config: Config
    _zone: ZoneInfo = field(
        init=False, default=Factory(lambda self: ZoneInfo(self._config.timezone), takes_self=True)
    )
    _prices: Prices = field(
        init=False, default=Factory(lambda self: Prices(self._config.prices), takes_self=True)
    )
    _rules: Rules = field(init=False, default=Factory(lambda self: rules_of(self._config), takes_self=True))
    _day: str = field(init=False, default="")
    _used: dict[str, Amounts] = field(init=False, factory=dict)
    """What each scope has used on this day, also what is not on disk yet."""
    _pending: dict[UsageKey, Amounts] = field(init=False, factory=dict)
    """What is not on disk yet."""
    _opened: dict[str, OpenBreaker] = field(init=False, factory=dict)
    """The open breakers, by scope."""
    _left: dict[str, tuple[tuple[Measure, float], ...]] = field(init=False, factory=dict)
    """The amounts at which the limits of each scope must be judged again."""
    _raised: set[str] = field(init=False, factory=set)
    """The ids of the alerts of this day."""
    _alerts: list[NewAlert] = field(init=False, factory=list)
    """The alerts that are not on disk yet."""
    _until: datetime = field(init=False, default=datetime.max.replace(tzinfo=UTC))
    """The start of the next day."""
    _held: trio.Event = field(init=False, factory=trio.Event)
    """Set while a breaker is open."""
    _models: dict[str, set[str]] = field(init=False, factory=dict)
    """The models that each session has used on this day; these sessions count no tool calls themselves."""
    _unpriced: set[str] = field(init=False, factory=set)
    _watchers: dict[object, _Watcher] = field(init=False, factory=dict)
    _noted: trio.Event = field(init=False, factory=trio.Event)
    _alerted: trio.Event = field(init=False, factory=trio.Event)
    _writing: Mutex = field(init=False, factory=Mutex)

    # -- what others ask; synchronous

    def breaker(self, session_id: str, agent_group_id: str) -> OpenBreaker | None:
        """Return the open breaker that holds a session, or None if it may work."""
        self._turn_day()
        return breaker_of(self._opened, session_id, agent_group_id)

    def refusal(self, session_id: str, agent_group_id: str, /) -> str | None:
        """Return why this session may ask no model now, in words for people; None if it may."""
        found = self.breaker(session_id, agent_group_id)
        return None if found is None else found.refusal

    @contextmanager
    def watch(self, session_id: str, agent_group_id: str, changed: Callable[[], None]) -> Iterator[None]:
        """Call `changed` after each change of the session's breaker, while the context is open."""
        token = object()
        self._watchers[token] = _Watcher(session_id, agent_group_id, changed)
        self._judge(*scopes_of(session_id, agent_group_id))  # a budget of 0 is used up before any use
        try:
            yield
        finally:
            del self._watchers[token]

    def remarks(self) -> tuple[str, ...]:
        """Return sentences for the status: budgets that are near or used up, and models without a price."""
        scopes = [DAY, *sorted(self._used.keys() | self._opened.keys() - {DAY})]
        standings = [each for scope in dict.fromkeys(scopes) for each in self._standings(scope)]
        return (
            *(f"{each.state}: {words.used(each, each.scope)}" for each in standings if each.state != "ok"),
            *(
                f"the price of {model} is not known, so it counts as $0: set it in [prices] of config.toml"
                for model in sorted(self._unpriced)
            ),
        )

    # -- counting

    def count(
        self, session_id: str, agent_group_id: str, *, turns: int = 0, tool_calls: int = 0, messages: int = 0
    ) -> None:
        """Count what a session has seen. Synchronous; it is on disk within `FLUSH_S`.

        Its tool calls do not count on a day on which the gateway counts them.
        """
        self._turn_day()
        metered = session_id in self._models
        used = Amounts(turns=turns, tool_calls=0 if metered else tool_calls, messages=messages)
        if used != Amounts():
            self._add(UsageKey(self._day, session_id, agent_group_id, "", ""), used)
            self._noted.set()

    async def spent(self, spent: ModelUsage, /) -> None:
        """Record what a request to a model took. When this returns, it is on disk.

        If the disk refuses it, it counts all the same, and is written with what follows.
        """
        self._turn_day()
        used = amounts_of(spent, self._prices, self._config.model.base_url)
        model = self._model(spent.session_id, name_of(spent.model))
        if used.unpriced_tokens:
            self._unpriced.add(model)
        provider = name_of(spent.provider)
        self._add(UsageKey(self._day, spent.session_id, spent.agent_group_id, provider, model), used)
        await self.write()

    def _model(self, session_id: str, model: str) -> str:
        known = self._models.setdefault(session_id, set())
        if model not in known and len(known) >= MOST_MODELS:
            return OTHER
        known.add(model)
        return model

    def _add(self, key: UsageKey, used: Amounts) -> None:
        self._pending[key] = self._pending.get(key, Amounts()).plus(used)
        scopes = scopes_of(key.session_id, key.agent_group_id)
        for scope in scopes:
            self._used[scope] = self._used.get(scope, Amounts()).plus(used)
        changed = [scope for scope in scopes if self._may_change(scope)]
        if changed:
            self._judge(*changed)

    def _may_change(self, scope: str) -> bool:
        """Return False if no limit of the scope has reached its next state. It spares most judgements."""
        used, left = self._used[scope], self._left.get(scope)
        return left is None or any(used.of(measure) >= at for measure, at in left)

    # -- writing and reading

    async def write(self) -> None:
        """Write everything that is not on disk yet. Calls that come together share one commit."""
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        used, self._pending = self._pending, {}
        alerts, self._alerts = self._alerts, []
        if not used and not alerts:
            return
        try:
            with trio.CancelScope(shield=True):  # else it is not known if it was written
                await self._registry.ask(RecordUsage(tuple(used.items()), tuple(alerts)))
        except (StoreError, ActorError) as error:
            _log.warning("budgets.not_written", reason=str(error), again_in_s=AGAIN_S)
            for key, amounts in used.items():
                self._pending[key] = self._pending.get(key, Amounts()).plus(amounts)
            self._alerts = [*alerts, *self._alerts]
            self._noted.set()
            return
        if alerts:
            self._alerted.set()

    async def load(self) -> None:
        """Read the limits and this day's usage again.

        Raises:
            StoreError: they cannot be read now.
        """
        async with self._writing:
            await self._write()
            day = day_of(self._clock.now(), self._zone)
            books = await self._central.run(_read, day)
            self._until = next_day(self._clock.now(), self._zone)
            self._day, self._used, self._raised = day, dict(books.used), set(books.raised)
            self._raised.update(alert.id for alert in self._alerts)
            self._unpriced = set(books.unpriced)
            for key, amounts in self._pending.items():
                if key.day == day:
                    for scope in scopes_of(key.session_id, key.agent_group_id):
                        self._used[scope] = self._used.get(scope, Amounts()).plus(amounts)
            self._rules = self._rules.having(books.rows, books.resets)
        self._judge_all()

    def _turn_day(self) -> None:
        """Begin a new day, if the date has changed. What is on disk of it is read in the background."""
        now = self._clock.now()
        day = day_of(now, self._zone)
        if self._day in {"", day}:
            return
        self._until = next_day(now, self._zone)
        _log.debug("budgets.new_day", day=day)
        self._day, self._used, self._models, self._raised, self._unpriced = day, {}, {}, set(), set()
        self._judge_all()
        self._changes.tell_budgets()

    # -- the breakers

    def _standings(self, scope: str) -> Iterator[Standing]:
        used = self._used.get(scope, Amounts())
        return self._rules.standings(scope, {measure: used.of(measure) for measure in MEASURES})

    def _judge_all(self) -> None:
        watched = {
            scope
            for each in self._watchers.values()
            for scope in scopes_of(each.session_id, each.agent_group_id)
        }
        self._left = {}
        scopes = self._used.keys() | {row.scope for row in self._rules.rows.values()} | watched | {DAY}
        self._judge(*sorted(scopes | self._opened.keys()))

    def _judge(self, *scopes: str) -> None:
        """Open and close the breakers of some scopes, raise alerts, and tell the sessions concerned."""
        before = dict(self._opened)
        for scope in scopes:
            standings = tuple(self._standings(scope))
            self._left[scope] = self._next_of(scope, standings)
            self._alert(standings)
            self._set_breaker(scope, first_used_up(standings))
        if before != self._opened:
            self._tell(before)

    def _next_of(self, scope: str, standings: tuple[Standing, ...]) -> tuple[tuple[Measure, float], ...]:
        """Return the amounts at which the limits of a scope must be judged again, resets included."""
        reset = self._rules.resets.get(scope)
        return tuple(
            (each.measure, each.next_at + (reset.of(each.measure) if reset else 0))
            for each in standings
            if each.next_at != inf
        )

    def _set_breaker(self, scope: str, used_up: Standing | None) -> None:
        before, until = self._opened.get(scope), self._until
        if used_up is None:
            if self._opened.pop(scope, None) is not None:
                _log.info("budgets.open_again", scope=scope)
            return
        key = key_of(used_up, self._day, 100)
        if before is not None and (before.key, before.until) == (key, until):
            return
        reason = words.reason(used_up)
        self._opened[scope] = OpenBreaker(
            key,
            f"{reason}; it goes on at {words.moment(until, self._zone)}",
            words.refusal(used_up, until, self._zone),
            words.for_people(used_up, until, self._zone),
            until,
        )
        _log.warning("budgets.used_up", scope=scope, reason=reason, until=until.isoformat())
        self._held.set()

    def _alert(self, standings: tuple[Standing, ...]) -> None:
        for each in standings:
            if each.state == "ok" or not each.limit.amount:  # nobody is told of a budget of 0
                continue
            id_ = key_of(each, self._day, 100 if each.state == "used up" else NEAR)
            if id_ not in self._raised:
                self._raised.add(id_)
                text = words.alert(each, self._until, self._zone)
                self._alerts.append(NewAlert(id_, self._day, each.scope, text))
                self._noted.set()

    def _tell(self, before: dict[str, OpenBreaker]) -> None:
        for each in list(self._watchers.values()):
            who = each.session_id, each.agent_group_id
            if breaker_of(before, *who) != breaker_of(self._opened, *who):
                each.changed()

    # -- its tasks

    async def alerts_raised(self) -> None:
        """Wait for alerts that are on disk. One task may call it."""
        await self._alerted.wait()
        self._alerted = trio.Event()

    @property
    def day(self) -> str:
        """The present day, as YYYY-MM-DD."""
        return self._day

    async def _write_counts(self) -> None:
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            await trio.sleep(FLUSH_S)
            await self.write()
            if self._noted.is_set() and self._pending:
                await trio.sleep(AGAIN_S - FLUSH_S)

    async def _follow_changes(self) -> None:
        while True:
            await self._changes.budgets_changed()
            try:
                await self.load()
            except StoreError as error:
                _log.warning("budgets.not_read", reason=str(error), again_in_s=AGAIN_S)
                self._changes.tell_budgets()
                await trio.sleep(AGAIN_S)

    async def _follow_days(self) -> None:
        """Close the breakers at the start of the next day. Jumps of the date are told by the clock watch."""
        while True:
            await self._held.wait()
            left_s = (self._until - self._clock.now()).total_seconds()
            await trio.sleep(min(max(left_s, 0.0), LONGEST_SLEEP_S) + 0.001)
            self._turn_day()
            if not self._opened:
                self._held = trio.Event()

    @asynccontextmanager
    async def recipe(self, _context: Context["BudgetKeeper"]) -> AsyncIterator["BudgetKeeper"]:
        """Read the day, then run the tasks. What is not on disk is written at the stop."""
        await self.load()
        async with trio.open_nursery() as nursery:
            for task in (self._write_counts, self._follow_changes, self._follow_days):
                nursery.start_soon(task)
            yield self
            nursery.cancel_scope.cancel()
        await self.write()
