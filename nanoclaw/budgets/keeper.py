"""The keeper of budgets: it counts what agents use, and opens a breaker when a budget is used up.

It is the `Meter` of the gateway, and the sessions report their turns and messages. Amounts count at once, in
memory (`Today`). What models took is on disk when `spent` returns. Counts of turns and messages follow within
`FLUSH_S`, many in one commit. Only the registry writes.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from zoneinfo import ZoneInfo

import structlog
import trio
from attrs import Factory, define, field, frozen

from actors import ActorError, Context, Ref
from nanoclaw.budgets import words
from nanoclaw.budgets.breakers import OpenBreaker, breaker_of
from nanoclaw.budgets.counting import amounts_of, name_of
from nanoclaw.budgets.days import day_of, next_day
from nanoclaw.budgets.judging import Breakers
from nanoclaw.budgets.limits import DAY, rules_of, scopes_of
from nanoclaw.budgets.prices import Prices
from nanoclaw.budgets.today import Today
from nanoclaw.config import Config
from nanoclaw.gateway.meter import ModelUsage, Pause, no_pause
from nanoclaw.records import Amounts, BudgetReset, BudgetRow, UsageKey
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
    _today: Today = field(init=False, factory=Today)
    _breakers: Breakers = field(
        init=False,
        default=Factory(lambda self: Breakers(rules_of(self._config), self._zone), takes_self=True),
    )
    _pending: dict[UsageKey, Amounts] = field(init=False, factory=dict)
    """What is not on disk yet."""
    _alerts: list[NewAlert] = field(init=False, factory=list)
    """The alerts that are not on disk yet."""
    _held: trio.Event = field(init=False, factory=trio.Event)
    """Set while a breaker is open."""
    _watchers: dict[object, _Watcher] = field(init=False, factory=dict)
    _noted: trio.Event = field(init=False, factory=trio.Event)
    _writing: Mutex = field(init=False, factory=Mutex)

    # -- what others ask; synchronous

    def breaker(self, session_id: str, agent_group_id: str) -> OpenBreaker | None:
        """Return the open breaker that holds a session, or None if it may work."""
        self._turn_day()
        return self._breakers.holding(session_id, agent_group_id)

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
        today, breakers = self._today, self._breakers
        scopes = [DAY, *sorted(today.used.keys() | breakers.opened.keys() - {DAY})]
        standings = [each for scope in dict.fromkeys(scopes) for each in breakers.standings(today, scope)]
        return (
            *(f"{each.state}: {words.used(each, each.scope)}" for each in standings if each.state != "ok"),
            *(
                f"the price of {model} is not known, so it counts as $0: set it in [prices] of config.toml"
                for model in sorted(today.unpriced)
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
        metered = session_id in self._today.models
        used = Amounts(turns=turns, tool_calls=0 if metered else tool_calls, messages=messages)
        if used != Amounts():
            self._add(UsageKey(self._today.day, session_id, agent_group_id, "", ""), used)
            self._noted.set()

    async def spent(self, spent: ModelUsage, pause: Pause = no_pause, /) -> None:
        """Record what a request to a model took. It counts at once. When this returns, it is on disk.

        `pause` is awaited before it is written. If the disk refuses it, it counts all the same, and is
        written with what follows.
        """
        self._turn_day()
        used = amounts_of(spent, self._prices, self._config.model.base_url)
        model = self._today.counted_as(spent.session_id, name_of(spent.model))
        if used.unpriced_tokens:
            self._today.unpriced.add(model)
        provider = name_of(spent.provider)
        self._add(UsageKey(self._today.day, spent.session_id, spent.agent_group_id, provider, model), used)
        await pause()
        await self.write()

    def _add(self, key: UsageKey, used: Amounts) -> None:
        self._pending[key] = self._pending.get(key, Amounts()).plus(used)
        scopes = self._today.add(key, used)
        changed = [scope for scope in scopes if self._breakers.may_change(self._today, scope)]
        if changed:
            self._judge(*changed)

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

    async def load(self) -> None:
        """Read the limits and this day's usage again.

        Raises:
            StoreError: they cannot be read now.
        """
        async with self._writing:
            await self._write()
            day = day_of(self._clock.now(), self._zone)
            books = await self._central.run(_read, day)
            today = Today(
                day,
                next_day(self._clock.now(), self._zone),
                dict(books.used),
                {*books.raised, *(alert.id for alert in self._alerts)},
                set(books.unpriced),
                self._today.models,
            )
            for key, amounts in self._pending.items():
                if key.day == day:
                    today.add(key, amounts)
            self._today = today
            self._breakers.rules = self._breakers.rules.having(books.rows, books.resets)
        self._judge_all()

    def _turn_day(self) -> None:
        """Begin a new day, if the date has changed. What is on disk of it is read in the background."""
        now = self._clock.now()
        day = day_of(now, self._zone)
        if self._today.day in {"", day}:
            return
        _log.debug("budgets.new_day", day=day)
        self._today = Today(day, next_day(now, self._zone))
        self._judge_all()
        self._changes.tell_budgets()

    # -- the breakers

    def _judge_all(self) -> None:
        watched = {
            scope
            for each in self._watchers.values()
            for scope in scopes_of(each.session_id, each.agent_group_id)
        }
        with self._telling():
            self._raise(self._breakers.judge_all(self._today, watched))

    def _judge(self, *scopes: str) -> None:
        with self._telling():
            self._raise(self._breakers.judge(self._today, scopes))

    def _raise(self, alerts: Sequence[NewAlert]) -> None:
        if alerts:
            self._alerts += alerts
            self._noted.set()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the sessions whose breaker has changed meanwhile."""
        before = dict(self._breakers.opened)
        yield
        if before != self._breakers.opened:
            if self._breakers.opened:
                self._held.set()
            self._tell(before)

    def _tell(self, before: dict[str, OpenBreaker]) -> None:
        for each in list(self._watchers.values()):
            who = each.session_id, each.agent_group_id
            if breaker_of(before, *who) != self._breakers.holding(*who):
                each.changed()

    # -- its tasks

    @property
    def day(self) -> str:
        """The present day, as YYYY-MM-DD."""
        return self._today.day

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
            left_s = (self._today.until - self._clock.now()).total_seconds()
            await trio.sleep(min(max(left_s, 0.0), LONGEST_SLEEP_S) + 0.001)
            self._turn_day()
            if not self._breakers.opened:
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
