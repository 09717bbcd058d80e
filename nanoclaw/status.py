"""The status of a host: frozen values, and the protocol of whoever tells it."""

from datetime import datetime
from typing import Protocol

from attrs import frozen

from actors import Node


@frozen
class ChannelReport:
    """The two halves of a channel, in the states of the live tree."""

    name: str
    sender: str
    receiver: str
    last_crash: str | None = None


@frozen
class RunnerReport:
    """A session's runner; `state` is absent, recovering, running, stopping or dead (and not settled yet)."""

    state: str
    failures: int = 0
    """Starts or lives in a row that came to nothing."""
    last_failure: str | None = None
    next_start_in_s: float | None = None
    """What is left of the back-off after failures."""


@frozen
class DeliveryReport:
    """The oldest message on its way out, and why it is not delivered yet, where an attempt said so."""

    id: str
    attempts: int
    in_flight: bool
    reason: str | None = None
    not_before: datetime | None = None


@frozen
class SessionDetails:
    """What a session says of itself."""

    runner: RunnerReport
    pending: int
    """Messages without an outcome."""
    working_on: int
    """Of these, the runner's at this moment."""
    deliveries: int
    """Messages on their way to their chats."""
    oldest_delivery: DeliveryReport | None = None
    quarantined: str | None = None
    """Why its outbound file is not read any more."""
    unreadable: str | None = None
    """Why its outbound file could not be read at the last look, and is tried again."""
    refused: int = 0
    """Rows of its runner's that broke the contract, since the session began."""
    last_refused: str | None = None
    """The last of them, and why."""
    ignored: str | None = None
    """What is in its outbound file and is never read."""
    polled: str | None = None
    """Why its outbound directory is polled and not watched."""
    scheduled: int = 0
    """Pending messages that are not due yet, such as tasks."""


@frozen
class SessionReport:
    """A living session. `details` is None where it did not answer in time, or cannot."""

    id: str
    agent_group: str
    agent_group_id: str
    chat: str | None
    """`<channel>:<chat>[/<thread>]`; None where it serves all chats of its agent group."""
    status: str
    state: str
    """Of its actor, in the live tree."""
    mailbox: int
    restarts: int
    parked: int
    """Events that wait, whole, until it can take them."""
    last_crash: str | None = None
    details: SessionDetails | None = None


@frozen
class HostReport:
    """What the host is doing, now."""

    version: str
    pid: int
    started_at: datetime
    uptime_s: float
    data: str
    runtime: str
    channels: tuple[ChannelReport, ...]
    sessions: int
    """All that are not archived, on disk."""
    living: int
    buried: int
    parked: int
    living_sessions: tuple[SessionReport, ...]


class CannotTell(Exception):
    """What was asked cannot be read now; the text says why."""


class StatusSource(Protocol):
    """Whoever tells the status of a host."""

    async def status(self) -> HostReport:
        """What the host is doing. A session that hangs costs its details, and about a second.

        Raises:
            CannotTell: the central database cannot be read now.
        """
        ...

    def tree(self) -> Node:
        """The live tree of actors."""
        ...
