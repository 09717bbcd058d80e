"""Judges the usage of a day by the limits: opens and closes breakers, and raises alerts."""

from collections.abc import Iterable, Iterator
from math import inf
from zoneinfo import ZoneInfo

import structlog
from attrs import define, field

from nanoclaw.budgets import words
from nanoclaw.budgets.breakers import OpenBreaker, breaker_of, first_used_up, key_of
from nanoclaw.budgets.limits import DAY, NEAR, Rules, Standing
from nanoclaw.budgets.today import Today
from nanoclaw.records import MEASURES, Measure
from nanoclaw.registry import NewAlert

_log = structlog.get_logger()


@define(eq=False)
class Breakers:
    """The open breakers of all scopes."""

    rules: Rules
    _zone: ZoneInfo
    opened: dict[str, OpenBreaker] = field(init=False, factory=dict)
    """By scope."""
    _left: dict[str, tuple[tuple[Measure, float], ...]] = field(init=False, factory=dict)
    """The amounts at which the limits of each scope must be judged again."""

    def holding(self, session_id: str, agent_group_id: str) -> OpenBreaker | None:
        """Return the open breaker that holds a session, or None if it may work."""
        return breaker_of(self.opened, session_id, agent_group_id)

    def standings(self, today: Today, scope: str) -> Iterator[Standing]:
        """Yield what a scope has used of each of its limits."""
        used = today.used_by(scope)
        return self.rules.standings(scope, {measure: used.of(measure) for measure in MEASURES})

    def may_change(self, today: Today, scope: str) -> bool:
        """Return False if no limit of the scope has reached its next state. It spares most judgements."""
        left = self._left.get(scope)
        return left is None or any(today.used[scope].of(measure) >= at for measure, at in left)

    def judge_all(self, today: Today, watched: Iterable[str]) -> list[NewAlert]:
        """Judge each scope that has a limit or usage, or is watched. Return the new alerts."""
        self._left = {}
        scopes = today.used.keys() | {row.scope for row in self.rules.rows.values()} | set(watched) | {DAY}
        return self.judge(today, sorted(scopes | self.opened.keys()))

    def judge(self, today: Today, scopes: Iterable[str]) -> list[NewAlert]:
        """Open and close the breakers of some scopes, and return the new alerts."""
        alerts: list[NewAlert] = []
        for scope in scopes:
            standings = tuple(self.standings(today, scope))
            self._left[scope] = self._next_of(scope, standings)
            alerts += self._alerts(today, standings)
            self._set(today, scope, first_used_up(standings))
        return alerts

    def _next_of(self, scope: str, standings: tuple[Standing, ...]) -> tuple[tuple[Measure, float], ...]:
        """Return the amounts at which the limits of a scope must be judged again, resets included."""
        reset = self.rules.resets.get(scope)
        return tuple(
            (each.measure, each.next_at + (reset.of(each.measure) if reset else 0))
            for each in standings
            if each.next_at != inf
        )

    def _alerts(self, today: Today, standings: Iterable[Standing]) -> Iterator[NewAlert]:
        for each in standings:
            if each.state == "ok" or not each.limit.amount:  # nobody is told of a budget of 0
                continue
            id_ = key_of(each, today.day, 100 if each.state == "used up" else NEAR)
            if id_ not in today.raised:
                today.raised.add(id_)
                yield NewAlert(id_, today.day, each.scope, words.alert(each, today.until, self._zone))

    def _set(self, today: Today, scope: str, used_up: Standing | None) -> None:
        before, until = self.opened.get(scope), today.until
        if used_up is None:
            if self.opened.pop(scope, None) is not None:
                _log.info("budgets.open_again", scope=scope)
            return
        key = key_of(used_up, today.day, 100)
        if before is not None and (before.key, before.until) == (key, until):
            return
        reason = words.reason(used_up)
        self.opened[scope] = OpenBreaker(
            key,
            f"{reason}; it resumes at {words.moment(until, self._zone)}",
            words.refusal(used_up, until, self._zone),
            words.for_people(used_up, until, self._zone),
            until,
        )
        _log.warning("budgets.used_up", scope=scope, reason=reason, until=until.isoformat())
