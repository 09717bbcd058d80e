"""The texts of cards, and the content of the row that tells an agent the outcome."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from attrs import evolve

from nanoclaw.approvals.deciding import options_of
from nanoclaw.records import ApprovalAsker, PendingApproval, QuestionContent
from nanoclaw.records.content import MAX_QUESTION, MAX_TITLE, dump_content

_DECIDED = {"approved": "Approved", "rejected": "Rejected", "expired": "Expired"}
FAILED = "failed"
"""The state of an approval that was approved and could not be carried out."""


def state_of(approval: PendingApproval) -> str:
    """Return what a card shows of an approval: its status, or that it failed."""
    failed = approval.status == "approved" and approval.finished_at and "error" in (approval.outcome or {})
    return FAILED if failed else approval.status


def question(approval: PendingApproval) -> QuestionContent:
    """Return the card of a pending approval."""
    title = approval.title.strip()[:MAX_TITLE] or approval.action[:MAX_TITLE]
    text = approval.text or title
    waits = QuestionContent(approval.approval_id, title, text[:MAX_QUESTION], options_of(approval))
    if approval.expires_at is None:
        return waits
    return evolve(waits, expires_s=int((approval.expires_at - approval.created_at).total_seconds()))


def decided(approval: PendingApproval, name: str | None, zone: str) -> str:
    """Return the text of a card whose approval is decided: what was asked, who decided, and when."""
    asked = approval.title if approval.text in {"", approval.title} else f"{approval.title}\n{approval.text}"
    parts = [asked, "", _sentence(approval, name, zone)]
    if approval.note and approval.status != "withdrawn":
        parts.append(f"Note: {approval.note}")
    error = (approval.outcome or {}).get("error")
    if approval.status != "expired" and isinstance(error, str):
        parts.append(f"It could not be done: {error}")
    return "\n".join(parts)


def _sentence(approval: PendingApproval, name: str | None, zone: str) -> str:
    chosen = {each.value: each.selected_label for each in options_of(approval)}
    what = chosen.get(approval.choice or "", _DECIDED.get(approval.status, approval.status))
    when = _time(approval.decided_at, zone)
    if approval.status == "expired":
        return f"Expired{when}: nobody decided in time."
    by = f" by {name}" if name else ""
    if approval.status == "withdrawn":
        return f"Needs no decision any more: {approval.note or 'it was withdrawn'}{by}{when}."
    return f"{what}{by}{when}."


def _time(at: datetime | None, zone: str) -> str:
    return "" if at is None else at.astimezone(ZoneInfo(zone)).strftime(" on %d %b %Y at %H:%M")


def outcome(approval: PendingApproval, asker: ApprovalAsker) -> str:
    """Return the content of the row that tells an agent the outcome (contract 5)."""
    result: Mapping[str, object] = approval.outcome or {}
    done = approval.status == "approved" and "error" not in result
    content: dict[str, object] = {
        "action": approval.action,
        "status": "completed" if done else "failed",
        "requestId": asker.request_id,
        "approval": approval.approval_id,
        "decision": approval.status,
        "result": dict(result),
    }
    if approval.note:
        content["note"] = approval.note
    return dump_content(content)
