"""The kind `request_budget`: an agent asks for a higher limit of what it may use a day."""

from collections.abc import Mapping

from attrs import frozen

from nanoclaw.approvals.fields import Fields, agent_of
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import Asked, Effects, Wanted
from nanoclaw.budgets.limits import DAY, MICRO, agent_scope, rules_of, session_scope, stored_amount
from nanoclaw.records import MEASURES, BudgetRow, Measure, PendingApproval
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection
from nanoclaw.store.central import budgets

LONGEST = 40
_WORDS: Mapping[Measure, str] = {
    "turns": "turns",
    "tool_calls": "calls of tools",
    "messages": "messages that it sends",
    "tokens": "tokens",
    "money": "US dollars",
}


@frozen
class RequestBudget:
    """Raises one daily limit of the agent, or of the conversation that asks, as `budgets set` does."""

    installation: Installation
    action: str = "request_budget"
    for_agents: bool = True

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Check that there is a limit, and that the new one is higher."""
        agent, fields = agent_of(connection, asked), Fields.of(asked, "measure", "amount", "scope")
        measure = _measure(fields)
        amount = _amount(measure, fields.values.get("amount"))
        scope, whose = self._scope(fields, asked, agent.id, agent.folder)
        before, day = self._limit(connection, scope, measure), self._limit(connection, DAY, measure)
        if before is None:
            raise ActionRefused(f"there is no limit of {measure} for {whose}, so there is nothing to raise")
        if amount <= before:
            raise ActionRefused(f"the limit is {_shown(measure, before)} already; ask for more than that")
        over = day is not None and day < amount
        note = f"\nThe whole installation may use {_shown(measure, day or 0)} a day." if over else ""
        return Wanted(
            payload={"scope": scope, "measure": measure, "amount": amount, "before": before},
            same=repr((scope, measure, amount)),
            title=f"{agent.folder} asks for more {measure.replace('_', ' ')}",
            text=f"The daily limit of {whose}, in {_WORDS[measure]}:\nnow {_shown(measure, before)}, then "
            f"{_shown(measure, amount)}{note}{fields.reason}",
        )

    def apply(self, connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        """Set the limit, unless it is as high already."""
        payload = approval.payload
        scope, measure, amount = str(payload["scope"]), payload["measure"], payload["amount"]
        result = {"measure": measure, "scope": scope.partition(":")[0]}
        if approval.status != "approved":
            return result
        known = _known(measure)
        if known is None or not isinstance(amount, int):
            raise ActionRefused("the request cannot be read")
        now = self._limit(connection, scope, known)
        if now is None or now >= amount:
            raise ActionRefused("the limit has been raised, or removed, by somebody else in the meantime")
        budgets.put(
            connection, BudgetRow(scope, known, amount, approval.decided_at or self.installation.now())
        )
        return {**result, "amount": amount / MICRO if known == "money" else amount}

    async def finish(self, _approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Let sessions that waited go on."""
        await effects.budgets_changed()
        return None

    def _scope(self, fields: Fields, asked: Asked, agent_group_id: str, folder: str) -> tuple[str, str]:
        match fields.text("scope", LONGEST):
            case None | "agent":
                return agent_scope(agent_group_id), f"the agent {folder}"
            case "session" if asked.session_id is not None:
                return session_scope(asked.session_id), f"one conversation of the agent {folder}"
            case _:
                raise ActionRefused("scope must be agent or session")

    def _limit(self, connection: Connection, scope: str, measure: Measure) -> int | None:
        return (
            rules_of(self.installation.config)
            .having(budgets.every(connection), ())
            .limit(scope, measure)
            .amount
        )


def _measure(fields: Fields) -> Measure:
    found = _known(fields.needed("measure", LONGEST))
    if found is None:
        raise ActionRefused(f"measure must be one of {', '.join(MEASURES)}")
    return found


def _known(name: object) -> Measure | None:
    for each in MEASURES:
        if each == name:
            return each
    return None


def _amount(measure: Measure, given: object) -> int:
    found = None
    if isinstance(given, str | int | float) and not isinstance(given, bool) and len(str(given)) <= LONGEST:
        found = stored_amount(measure, given)
    if found is None:
        what = "an amount of dollars" if measure == "money" else "a whole number"
        raise ActionRefused(f"amount must be {what}")
    return found


def _shown(measure: Measure, amount: int) -> str:
    return f"${amount / MICRO:,.2f}" if measure == "money" else f"{amount:,}"


KIND = RequestBudget
