"""Messages to the registry about usage, budgets, and what the owner is told about them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import Factory, frozen

from nanoclaw.records import Amounts, BudgetAlert, BudgetReset, BudgetRow, Measure, UsageKey
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection, DamagedRow
from nanoclaw.store.central import agent_groups, budgets, messaging_groups, sessions, usage

SCOPE = "{scope}"
"""Stands for the name of an alert's scope until it is stored."""
ALERTS_KEPT = timedelta(days=30)


@frozen
class NewAlert:
    """An alert that is stored once. Its text has `SCOPE` in the place of the scope's name."""

    id: str
    day: str
    scope: str
    text: str


@frozen
class RecordUsage:
    """Add what was used, and the alerts that follow from it, in one transaction."""

    used: Sequence[tuple[UsageKey, Amounts]]
    alerts: Sequence[NewAlert] = ()

    async def handle(self, actor: Registry) -> None:
        """Add to the rows. No cached read shows them."""
        await actor.note(self._record, actor.clock.now())
        if self.alerts:
            actor.changes.tell_alerts()

    def _record(self, connection: Connection, now: datetime) -> None:
        for key, amounts in self.used:
            usage.add(connection, key, amounts)
        if self.alerts:
            budgets.raise_alerts(connection, self._named(connection, now))
            budgets.drop_alerts(connection, (now - ALERTS_KEPT).date().isoformat())

    def _named(self, connection: Connection, now: datetime) -> Iterator[BudgetAlert]:
        for alert in self.alerts:
            text = alert.text.replace(SCOPE, name_of(connection, alert.scope))
            yield BudgetAlert(alert.id, alert.day, text, None, told=False, created_at=now)


def name_of(connection: Connection, scope: str) -> str:
    """Return the name of a scope for people. Where its row is damaged, that is its id."""
    try:
        return _name_of(connection, *scope.split(":", maxsplit=1))
    except DamagedRow:
        return scope


def _name_of(connection: Connection, kind: str, id_: str = "") -> str:
    if kind == "day":
        return "the whole installation"
    if kind == "agent":
        group = agent_groups.get(connection, id_)
        return f"the agent {group.folder if group else id_}"
    session = sessions.get(connection, id_)
    chat = messaging_groups.get(connection, (session and session.messaging_group_id) or "")
    return f"the conversation in {chat.channel_type}:{chat.platform_id}" if chat else f"session {id_}"


@frozen
class SetBudget(CheckedMessage):
    """Set limits of a scope. A measure that is missing keeps its limit."""

    scope: str
    amounts: Mapping[Measure, int | None] = Factory(dict)
    """The new limits. None means no limit."""
    defaults: Sequence[Measure] = ()
    """The measures whose limits come from the configuration again."""

    async def handle(self, actor: Registry) -> None:
        """Write the rows, and notify the keeper of the budgets."""
        await actor.note(self._set, actor.clock.now())
        actor.changes.tell_budgets()

    def _set(self, connection: Connection, now: datetime) -> None:
        for measure, amount in self.amounts.items():
            budgets.put(connection, BudgetRow(self.scope, measure, amount, now))
        for measure in self.defaults:
            budgets.forget(connection, self.scope, measure)


@frozen
class ResetBudget(CheckedMessage):
    """Let a scope count its usage of a day from now on."""

    scope: str
    day: str

    async def handle(self, actor: Registry) -> BudgetReset:
        """Store what was used so far, and notify the keeper of the budgets."""
        found = await actor.note(self._reset, actor.clock.now())
        actor.changes.tell_budgets()
        return found

    def _reset(self, connection: Connection, now: datetime) -> BudgetReset:
        used = usage.used_on(connection, self.day, self.scope)
        found = BudgetReset(
            self.scope,
            self.day,
            used["turns"],
            used["tool_calls"],
            used["messages"],
            used["tokens"],
            used["money"],
            now,
        )
        budgets.reset(connection, found)
        return found


@frozen
class ChooseTeller:
    """Choose the session that tells the owner an alert."""

    alert_id: str
    session_id: str

    async def handle(self, actor: Registry) -> None:
        """Write it."""
        await actor.note(budgets.choose_teller, self.alert_id, self.session_id)


@frozen
class AlertTold:
    """Record that an alert is in the ledger of its session."""

    alert_id: str

    async def handle(self, actor: Registry) -> None:
        """Write it."""
        await actor.note(budgets.mark_told, self.alert_id)
