"""The kinds of approvals of a program: those of the package `kinds`, and those that it is given.

The registry asks `ApprovalKinds` to check requests and to carry out decisions.
"""

import pkgutil
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, Self

from attrs import frozen

from nanoclaw.approvals import deciding, kinds, requesting
from nanoclaw.approvals.eligible import rule_counts
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import ALWAYS, ApprovalKind, Asked
from nanoclaw.approvals.requesting import Requested
from nanoclaw.records import PendingApproval
from nanoclaw.records.approvals import Decision
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import approval_rules, pending_approvals
from nanoclaw.system.foreign import ForeignError, foreign_code


class BadKind(ValueError):
    """A kind of approval that cannot be used. The text says why."""


@frozen
class ApprovalKinds:
    """The kinds by action. It implements `nanoclaw.registry.ApprovalEngine`."""

    kinds: Mapping[str, ApprovalKind]
    expire: timedelta
    """Delay after which a request that nobody decided expires."""

    @classmethod
    def of(cls, installation: Installation, given: Iterable[ApprovalKind] = ()) -> Self:
        """Return the kinds of this package, which may read the installation, and those that a program gives.

        Raises:
            BadKind: two have the same action, or one is no kind.
        """
        found = dict[str, ApprovalKind]()
        for kind in (*_installed(installation), *given):
            action = getattr(kind, "action", None)
            if not isinstance(action, str) or not action.strip():
                raise BadKind(f"the kind of approval of class {type(kind).__name__} has no action")
            if not callable(getattr(kind, "check", None)) or not callable(getattr(kind, "apply", None)):
                raise BadKind(f"the kind of approval {action!r} needs the methods check and apply")
            if action in found:
                raise BadKind(f"two kinds of approval have the action {action!r}: name one of them otherwise")
            found[action] = kind
        return cls(found, timedelta(seconds=installation.config.approvals.expire_s))

    @property
    def for_agents(self) -> frozenset[str]:
        """The actions that agents may ask for."""
        return frozenset(action for action, kind in self.kinds.items() if kind.for_agents)

    def request(self, connection: Connection, asked: Asked, id_: str, now: datetime) -> Requested:
        """Check a request, and have it decided by a rule or by people.

        Raises:
            ActionRefused: it can never be done, or too many requests are open.
        """
        kind = self.kinds.get(asked.action)
        if kind is None:
            raise ActionRefused(f"there is no kind of approval {asked.action!r:.60}")
        try:
            with foreign_code(ActionRefused, NotAllowed):
                wanted = requesting.checked(kind, connection, asked)
        except NotAllowed as error:
            raise ActionRefused(str(error)) from error
        except ForeignError as error:
            raise ActionRefused(f"the host failed to check the request: {error}") from error
        approval = requesting.insert(connection, asked, wanted, id_, now, now + self.expire)
        agent, scope = asked.agent_group_id, wanted.scope
        if agent is None or scope is None:
            return Requested(approval, "asked")
        rule = approval_rules.find(connection, agent, asked.action, scope)
        if rule is None or not rule_counts(connection, rule):
            return Requested(approval, "asked")
        by_rule = Decision(
            approval.approval_id, ALWAYS.value, rule.created_by, f"by the rule {rule.rule_id}", unlimited=True
        )
        return Requested(deciding.decide(connection, kind, approval, by_rule, now), "allowed")

    def decide(self, connection: Connection, decision: Decision, now: datetime) -> PendingApproval:
        """Decide an approval once, and apply the decision.

        Raises:
            NotFound: no approval has this id.
            NotAllowed: it cannot be decided, not so, or not by this person.
        """
        approval = pending_approvals.require(connection, decision.approval_id)
        deciding.require_open(approval, now)
        deciding.require_may_decide(connection, approval, decision)
        return deciding.decide(connection, self.kinds.get(approval.action), approval, decision, now)

    def close(
        self,
        connection: Connection,
        approval: PendingApproval,
        outcome: Mapping[str, object],
        now: datetime,
    ) -> PendingApproval:
        """Store that an approval was decided by other means, which have done already what it is about.

        The approval has its new status, choice and `decided_by`.
        """
        return deciding.store(connection, approval, outcome, now)

    def expire_overdue(self, connection: Connection, now: datetime) -> list[PendingApproval]:
        """Expire the approvals whose time is over. A date that was set back delays none."""
        pending_approvals.date_back(connection, now)
        return [
            deciding.expire(connection, self.kinds.get(each.action), each, now)
            for each in pending_approvals.overdue(connection, now)
        ]


def _installed(installation: Installation) -> Iterable[ApprovalKind]:
    """Yield the kinds of the modules of the package `kinds`."""
    for module in sorted(pkgutil.iter_modules(kinds.__path__), key=lambda each: each.name):
        kind: Any = import_module(f"{kinds.__name__}.{module.name}").KIND
        found: ApprovalKind = kind(installation) if isinstance(kind, type) else kind
        yield found
