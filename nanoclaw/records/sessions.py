"""Rows of the central database about sessions, and about what waits for them or for a person."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from attrs import frozen

from nanoclaw.records.outgoing import Answerer

SessionStatus = Literal["active", "paused", "archived"]
ContainerStatus = Literal["stopped", "starting", "running"]
CardStatus = Literal["pending", "sending", "unknown", "shown", "failed"]
ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "withdrawn"]
QuestionEnd = Literal["answered", "expired", "withdrawn"]


@frozen
class Session:
    """One conversation with an agent. It has its own pair of databases and its own runner."""

    id: str
    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None
    agent_provider: str | None
    status: SessionStatus
    container_status: ContainerStatus
    last_active: datetime | None
    created_at: datetime
    model: str | None = None
    """The name of its model. None: its agent's."""


@frozen
class Presence:
    """News about a session: its container's state and its last use. None means no news."""

    session_id: str
    container_status: ContainerStatus | None = None
    last_active: datetime | None = None


@frozen
class PendingQuestion:
    """A card with buttons that waits for an answer."""

    question_id: str
    session_id: str
    message_out_id: str
    platform_id: str | None
    channel_type: str | None
    thread_id: str | None
    title: str
    options: Sequence[object]
    created_at: datetime
    question: str = ""
    """The question itself; empty if an earlier version recorded it."""
    who: Answerer = "member"
    """Who may answer it."""
    asker: str | None = None
    """The user who may answer it, if `who` is `asker`."""
    multiple: bool = False
    free_text: bool = False
    expires_at: datetime | None = None
    """None: never."""
    chosen: Sequence[object] = ()
    """The values of the options that are chosen so far, if several may be."""
    clicks: Sequence[object] = ()
    """The ids of the newest clicks that changed `chosen`. A click may be offered twice."""
    version: int = 0
    """The number of changes of `chosen`."""
    shown_version: int = 0
    """The version that the card shows."""
    platform_message_id: str | None = None
    """The platform's id of the card."""


@frozen
class Closing:
    """The end of a question. `answer` is for people."""

    question_id: str
    how: QuestionEnd
    by: str | None = None
    """The user who answered."""
    answer: str = ""
    message_id: str | None = None
    """The message that answered, if it was no press of a button. It answers nothing else."""


@frozen
class ClosedQuestion:
    """A question that takes no answer any more. It is kept for a while, so that late clicks are told so."""

    question_id: str
    message_out_id: str
    channel_type: str | None
    platform_id: str | None
    thread_id: str | None
    closed_at: datetime
    how: QuestionEnd
    by_user: str | None
    answer: str
    card: str | None
    """The text that the card has yet to show; None if there is none."""
    platform_message_id: str | None


@frozen
class PendingApproval:
    """A request to the admins, and their decision. `session_id` is None if the host itself asked."""

    approval_id: str
    session_id: str | None
    request_id: str
    action: str
    payload: Mapping[str, object]
    created_at: datetime
    agent_group_id: str | None = None
    channel_type: str | None = None
    platform_id: str | None = None
    platform_message_id: str | None = None
    expires_at: datetime | None = None
    status: ApprovalStatus = "pending"
    title: str = ""
    options: Sequence[object] = ()
    payload_hash: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    requested_by: str | None = None
    """The user whose message led to it."""
    choice: str | None = None
    """The value of the button that decided it."""
    note: str | None = None
    outcome: Mapping[str, object] | None = None
    """What carrying it out gave, for who asked."""
    finished_at: datetime | None = None
    """When its effects outside of the central database were done."""
    told_at: datetime | None = None
    """When who asked was told the outcome."""
    text: str = ""
    """What will be done, in full, as its cards show it."""
    same: str | None = None
    """Equal open requests of an agent and action are one request. None: it was made without a kind."""
    scope: str | None = None
    """What an "always allow" would allow; None if that is not offered."""


@frozen
class ApprovalAsker:
    """A session that asked for an approval, and is told its outcome."""

    approval_id: str
    session_id: str
    request_id: str | None = None
    """The id of the outbound row that asked."""
    channel_type: str | None = None
    platform_id: str | None = None
    thread_id: str | None = None
    told_at: datetime | None = None


@frozen
class ApprovalCard:
    """A card that shows an approval to one person who may decide it. It is an entry of a ledger, too."""

    approval_id: str
    user_id: str
    channel_type: str
    platform_id: str
    thread_id: str | None = None
    status: CardStatus = "pending"
    shows: str = ""
    """The status of the approval that the card shows; empty if it was not sent yet."""
    platform_message_id: str | None = None
    attempts: int = 0
    next_attempt: datetime | None = None
    doubts: int = 0
    """The number of attempts whose outcome is unknown."""
    started_at: datetime | None = None
    error: str | None = None
    code: str = ""
    """What an answer in writing must end with, so that no other text is taken for one."""


@frozen
class ApprovalRule:
    """An "always allow" of a person who may decide: it decides later requests of an agent at once."""

    rule_id: str
    agent_group_id: str
    action: str
    scope: str
    created_by: str | None
    created_at: datetime
    approval_id: str | None = None


@frozen
class ParkedEvent:
    """An accepted event whose session cannot take it yet."""

    id: str
    session_id: str
    event: str
    reason: str
    created_at: datetime
