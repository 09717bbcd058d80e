"""The status of a host as frozen values, and the protocol of its source."""

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
    """A session's runner. `state` is absent, recovering, running, stopping, or dead (not settled yet)."""

    state: str
    failures: int = 0
    """Consecutive failed starts and useless runs."""
    last_failure: str | None = None
    next_start_in_s: float | None = None
    """The rest of the back-off after failures."""


@frozen
class DeliveryReport:
    """The oldest delivery that is not final. `reason` says why the last attempt did not deliver it."""

    id: str
    attempts: int
    in_flight: bool
    reason: str | None = None
    not_before: datetime | None = None
    doubts: int = 0
    """The number of attempts after which it was sent, but not confirmed."""
    held: bool = False
    """True if it waits until somebody is there to be shown it."""


@frozen
class SilentTask:
    """A task that is silent for longer than one of its periods, and why."""

    id: str
    reason: str


@frozen
class SessionDetails:
    """The details of a living session."""

    runner: RunnerReport
    pending: int
    """The number of messages without an outcome."""
    working_on: int
    """The number of these that the runner has claimed."""
    deliveries: int
    """The number of deliveries that are not final."""
    oldest_delivery: DeliveryReport | None = None
    quarantined: str | None = None
    """The reason why its outbound file is quarantined."""
    unreadable: str | None = None
    """The reason why the last look could not read its outbound file. It is tried again."""
    refused: int = 0
    """The number of its runner's rows that broke the contract, since the session was created."""
    last_refused: str | None = None
    """The last refused row, and the reason."""
    ignored: str | None = None
    """Description of a row or ack in its outbound file that is never read."""
    polled: str | None = None
    """The reason why its outbound directory is polled. None if it is watched."""
    scheduled: int = 0
    """The number of pending messages that are not due yet, such as tasks."""
    silent: tuple[SilentTask, ...] = ()
    """The tasks that are silent for longer than one of their periods."""
    restored: str | None = None
    """The conclusion where one of its files was lost or restored alone."""
    to_answer: int = 0
    """The number of pending messages that the agent must handle: of users, and tasks whose time has come."""
    waiting_tasks: int = 0
    """The number of pending tasks that wait for their time."""


@frozen
class SessionReport:
    """A living session. `details` is None if it did not answer in time, or is not running."""

    id: str
    agent_group: str
    agent_group_id: str
    chat: str | None
    """`<channel>:<chat>[/<thread>]`; None if it serves all chats of its agent group."""
    status: str
    state: str
    """The state of its actor in the live tree."""
    mailbox: int
    restarts: int
    parked: int
    """The number of events that are parked for it."""
    questions: int = 0
    """The number of its agent's questions that nobody has answered."""
    last_crash: str | None = None
    details: SessionDetails | None = None


@frozen
class HostReport:
    """The status of a host."""

    version: str
    pid: int
    started_at: datetime
    uptime_s: float
    data: str
    runtime: str
    channels: tuple[ChannelReport, ...]
    sessions: int
    """The number of sessions on disk that are not archived."""
    living: int
    buried: int
    parked: int
    living_sessions: tuple[SessionReport, ...]
    unheard: tuple[str, ...] = ()
    """A line for each wiring that hears nobody, because its rules do not fit."""
    descriptors_used: int | None = None
    """The file descriptors of the host's process. None if the system does not tell."""
    descriptors_limit: int | None = None
    """The limit of these. Near it, runners without work are stopped, and others start late."""
    damaged: tuple[str, ...] = ()
    """A sentence for each row of the central database that cannot be used."""
    questions: int = 0
    """The number of questions that nobody has answered."""
    zone_doubt: str | None = None
    """The reason why the time zone may be wrong, with advice."""


class CannotTell(Exception):
    """The status cannot be read now. The text says why."""


class StatusSource(Protocol):
    """The source of the status of a host."""

    async def status(self) -> HostReport:
        """Return the status of the host. A session that hangs has no details, and delays this by a second.

        Raises:
            CannotTell: the central database cannot be read now.
        """
        ...

    def tree(self) -> Node:
        """Return the live tree of actors."""
        ...
