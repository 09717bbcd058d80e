"""The usage of the present day, in memory."""

from datetime import UTC, datetime

from attrs import Factory, define

from nanoclaw.budgets.counting import MOST_MODELS, OTHER
from nanoclaw.budgets.limits import scopes_of
from nanoclaw.records import Amounts, UsageKey

_NEVER = datetime.max.replace(tzinfo=UTC)


@define(eq=False)
class Today:
    """What agents have used on one day, by the scopes of budgets."""

    day: str = ""
    """The day, as YYYY-MM-DD. Empty before the first read."""
    until: datetime = _NEVER
    """The start of the next day."""
    used: dict[str, Amounts] = Factory(dict)
    """What each scope has used, also what is not on disk yet."""
    raised: set[str] = Factory(set)
    """The ids of the alerts of this day."""
    unpriced: set[str] = Factory(set)
    """The models whose price is not known."""
    models: dict[str, set[str]] = Factory(dict)
    """The models that each session has used. These sessions count no tool calls themselves."""

    def add(self, key: UsageKey, amounts: Amounts) -> tuple[str, str, str]:
        """Count what a session has used, and return its scopes."""
        scopes = scopes_of(key.session_id, key.agent_group_id)
        for scope in scopes:
            self.used[scope] = self.used_by(scope).plus(amounts)
        return scopes

    def used_by(self, scope: str) -> Amounts:
        """Return what a scope has used."""
        return self.used.get(scope, Amounts())

    def counted_as(self, session_id: str, model: str) -> str:
        """Return the name under which a session's use of a model counts. A session has only so many."""
        known = self.models.setdefault(session_id, set())
        if model not in known and len(known) >= MOST_MODELS:
            return OTHER
        known.add(model)
        return model
