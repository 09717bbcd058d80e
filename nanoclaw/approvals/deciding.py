"""Decisions about approvals: one transaction stores and applies each. Functions of a connection."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

import structlog
from attrs import evolve

from nanoclaw.approvals.eligible import may_decide
from nanoclaw.approvals.kind import ALWAYS, APPROVE, REJECT, REJECTS, ApprovalKind, HasEffects
from nanoclaw.approvals.requesting import hash_of
from nanoclaw.records import ApprovalRule, ApprovalStatus, Option, PendingApproval
from nanoclaw.records.approvals import Decision
from nanoclaw.records.content import BadContent, load_options, storable
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection, NotAllowed, StoreError
from nanoclaw.store.central import approval_askers, approval_rules, pending_approvals
from nanoclaw.system.foreign import ForeignError, foreign_code, text_of

MAX_NOTE = 1_000
MAX_REASON = 500

_log = structlog.get_logger()


def options_of(approval: PendingApproval) -> tuple[Option, ...]:
    """Return the choices of an approval. One without valid choices can be approved and rejected."""
    try:
        return load_options(list(approval.options))
    except BadContent:
        return (APPROVE, REJECT)


def require_open(approval: PendingApproval, now: datetime) -> None:
    """Check that an approval can still be decided.

    Raises:
        NotAllowed: it is decided, its time is over, or its payload has changed.
    """
    id_ = approval.approval_id
    if approval.status != "pending":
        raise NotAllowed(f"approval {id_} is already {approval.status}")
    if approval.expires_at is not None and approval.expires_at <= now and approval.created_at <= now:
        raise NotAllowed(f"approval {id_} has expired")
    if approval.payload_hash is not None and approval.payload_hash != hash_of(approval.payload):
        raise NotAllowed(
            f"approval {id_} was changed since it was requested, so nobody can decide it; "
            f"delete it: `nanoclaw approvals delete {id_}`"
        )


def require_may_decide(connection: Connection, approval: PendingApproval, decision: Decision) -> None:
    """Check that the person may decide now, and that the choice is offered.

    Raises:
        NotAllowed: one of these is not so.
    """
    by, agent = decision.by, approval.agent_group_id
    if not decision.unlimited and (by is None or not may_decide(connection, agent, by)):
        raise NotAllowed(f"{by} may not decide approval {approval.approval_id}")
    offered = [each.value for each in options_of(approval)]
    if approval.same is None:  # it was made without a kind, so its options are only words
        offered += [APPROVE.value, REJECT.value]
    if decision.choice not in offered:
        raise NotAllowed(
            f"approval {approval.approval_id} has no choice {decision.choice!r:.60}; use {', '.join(offered)}"
        )


def decide(
    connection: Connection,
    kind: ApprovalKind | None,
    approval: PendingApproval,
    decision: Decision,
    now: datetime,
) -> PendingApproval:
    """Store a valid decision, and apply it. Return the approval with its outcome.

    Raises:
        NotAllowed: this program does not know the kind of the approval.
    """
    status: ApprovalStatus = "rejected" if decision.choice in REJECTS else "approved"
    if kind is None and approval.same is not None and status == "approved":
        raise NotAllowed(f"this program cannot do {approval.action!r:.60}: it has no such kind of approval")
    note = storable(decision.note[:MAX_NOTE]) if decision.note else None
    chosen = evolve(
        approval, status=status, choice=decision.choice, decided_by=decision.by, decided_at=now, note=note
    )
    result = apply(connection, kind, chosen, now)
    if decision.choice == ALWAYS.value and not _failed(result):
        _remember(connection, result, now)
    return result


def expire(
    connection: Connection, kind: ApprovalKind | None, approval: PendingApproval, now: datetime
) -> PendingApproval:
    """Store that nobody has decided in time, and apply that."""
    return apply(connection, kind, evolve(approval, status="expired", decided_at=now), now)


def apply(
    connection: Connection, kind: ApprovalKind | None, approval: PendingApproval, now: datetime
) -> PendingApproval:
    """Store a decided approval, with what its kind does about it in a savepoint."""
    pending_approvals.store_decision(connection, approval)
    outcome = _result_of(connection, kind, approval)
    succeeds = approval.status == "approved" and "error" not in outcome
    waits = succeeds and isinstance(kind, HasEffects)
    return store(connection, approval, outcome, now, waits=waits)


def store(
    connection: Connection,
    approval: PendingApproval,
    outcome: Mapping[str, object],
    now: datetime,
    *,
    waits: bool = False,
) -> PendingApproval:
    """Store a decided approval with its outcome. `waits` says that there are effects that are not done."""
    nobody = approval_askers.count_untold(connection, approval.approval_id) == 0
    result = evolve(
        approval,
        outcome=outcome,
        finished_at=None if waits else now,
        told_at=now if nobody else None,
    )
    pending_approvals.store_decision(connection, result)
    _log.info(
        "approval.decided",
        approval=approval.approval_id,
        action=approval.action,
        status=approval.status,
        choice=approval.choice,
        by=approval.decided_by,
        error=outcome.get("error"),
    )
    return result


def _result_of(
    connection: Connection, kind: ApprovalKind | None, approval: PendingApproval
) -> Mapping[str, object]:
    """Have the kind apply a decision. A failure changes nothing and is the outcome."""
    result: Mapping[str, object] = {}
    if kind is None:
        return result
    try:
        with connection, foreign_code(ActionRefused, StoreError):  # a savepoint
            result = as_json(kind.apply(connection, approval))
    except (ActionRefused, StoreError) as error:
        return {"error": text_of(error)[:MAX_REASON]}
    except ForeignError as error:  # a faulty kind of a third party must not stop the registry
        if not connection.in_transaction:
            raise error.error from None  # the disk failed, and SQLite has rolled back all of it
        _log.error("approval.kind_failed", approval=approval.approval_id, exc_info=error.error)
        return {"error": f"the host failed to do it: {error}"[:MAX_REASON]}
    return result


def as_json(result: Mapping[str, object]) -> Mapping[str, object]:
    """Return a result as it is stored: JSON whose text SQLite can take."""
    text = storable(json.dumps(dict(result), ensure_ascii=False, allow_nan=False))
    found: Mapping[str, object] = json.loads(text)
    return found


def _failed(approval: PendingApproval) -> bool:
    return "error" in (approval.outcome or {})


def _remember(connection: Connection, approval: PendingApproval, now: datetime) -> None:
    """Write the rule of an "always allow"."""
    agent, scope = approval.agent_group_id, approval.scope
    if agent is None or scope is None:
        return
    name = sha256(json.dumps([agent, approval.action, scope]).encode()).hexdigest()[:16]
    rule = ApprovalRule(
        f"rule-{name}", agent, approval.action, scope, approval.decided_by, now, approval.approval_id
    )
    approval_rules.add(connection, rule)
