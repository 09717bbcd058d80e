"""Requests for approval: checked, then one row a request. Functions of a connection."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Literal

from attrs import evolve, frozen

from nanoclaw.approvals.kind import ALWAYS, ApprovalKind, Asked, Wanted
from nanoclaw.records import ApprovalAsker, PendingApproval
from nanoclaw.records.content import BadContent, dump_options, load_options, storable
from nanoclaw.registry import MOST_OPEN, ActionRefused
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import approval_askers, pending_approvals

MAX_TITLE, MAX_TEXT, MAX_PAYLOAD = 200, 4_000, 100_000
"""Limits in characters. A person must be able to read all of a card."""


@frozen
class Requested:
    """An approval that waits for a decision, or that a rule has decided at once."""

    approval: PendingApproval
    state: Literal["asked", "allowed"]


def canonical(payload: Mapping[str, object]) -> str:
    """Return a payload as JSON in its one form.

    Raises:
        NotAllowed: it is not JSON, or too long.
    """
    try:
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAllowed(f"the payload of the approval is not JSON: {error}") from error
    if len(text) > MAX_PAYLOAD:
        raise NotAllowed(
            f"the payload of the approval has {len(text):,} characters; {MAX_PAYLOAD:,} are allowed"
        )
    return text


def hash_of(payload: Mapping[str, object]) -> str:
    """Return the hash to which an approval is bound."""
    return sha256(canonical(payload).encode(errors="surrogatepass")).hexdigest()


def checked(kind: ApprovalKind, connection: Connection, asked: Asked) -> Wanted:
    """Have a kind check a request, and check what it returns.

    Raises:
        ActionRefused: it can never be done.
        NotAllowed: the kind returns what no card can show.
    """
    wanted = kind.check(connection, asked)
    options = [*wanted.options]
    if wanted.scope is not None and asked.agent_group_id is not None and ALWAYS not in options:
        options.insert(1, ALWAYS)
    try:
        shown = load_options(dump_options(options))
    except BadContent as error:
        raise NotAllowed(f"the kind {kind.action} offers no valid choice: {error}") from error
    for what, text, most in (("title", wanted.title, MAX_TITLE), ("text", wanted.text, MAX_TEXT)):
        if not text.strip() or len(text) > most:
            raise ActionRefused(
                f"the request cannot be shown in full: its {what} has {len(text):,} characters, but 1 to "
                f"{most:,} are allowed; ask for less at once"
            )
    return evolve(wanted, options=shown, title=storable(wanted.title), text=storable(wanted.text))


def insert(  # noqa: PLR0913, PLR0917 -- what a row is made of
    connection: Connection, asked: Asked, wanted: Wanted, id_: str, now: datetime, expires_at: datetime
) -> PendingApproval:
    """Return the open request that is equal, or insert this one.

    Raises:
        ActionRefused: too many requests are open.
    """
    found = pending_approvals.open_equal(connection, asked.agent_group_id, asked.action, wanted.same)
    if found is None:
        _require_room(connection, asked)
        found = _row(asked, wanted, id_, now, expires_at)
        pending_approvals.create(connection, found)
    if asked.session_id is not None:
        approval_askers.add(connection, _asker(found.approval_id, asked, asked.session_id))
    return found


def _require_room(connection: Connection, asked: Asked) -> None:
    count = pending_approvals.count_open(
        connection, asked.agent_group_id, asked.action, by_session=asked.session_id is not None
    )
    if count >= MOST_OPEN:
        raise ActionRefused(f"{count} requests wait for a decision already; ask again when some are decided")


def _row(asked: Asked, wanted: Wanted, id_: str, now: datetime, expires_at: datetime) -> PendingApproval:
    where = asked.address
    return PendingApproval(
        id_,
        asked.session_id,
        asked.request_id or id_,
        asked.action,
        wanted.payload,
        now,
        asked.agent_group_id,
        where.channel_type if where else None,
        where.platform_id if where else None,
        expires_at=expires_at,
        title=wanted.title,
        options=dump_options(wanted.options),
        payload_hash=hash_of(wanted.payload),
        requested_by=asked.requested_by,
        text=wanted.text,
        same=wanted.same,
        scope=wanted.scope,
    )


def _asker(approval_id: str, asked: Asked, session_id: str) -> ApprovalAsker:
    where = asked.address
    return ApprovalAsker(
        approval_id,
        session_id,
        asked.request_id,
        where.channel_type if where else None,
        where.platform_id if where else None,
        where.thread_id if where else None,
    )
