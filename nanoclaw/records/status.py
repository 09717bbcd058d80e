"""The status of a host as frozen values, and the protocol of its source."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from attrs import Factory, frozen

from actors import Node


@frozen
class ChannelReport:
    """The two halves of a channel, in the states of the live tree."""

    name: str
    """The channel's `channel_type`."""
    sender: str
    """The state of its sending half: running, restarting, buried, or another of the tree."""
    receiver: str
    """The state of its receiving half."""
    last_crash: str | None = None
    """The last error that restarted one of them."""
    type: str = ""
    """The type of its table in the configuration. Empty for a channel of the program itself."""
    condition: str | None = None
    """Why it does not work now: down, unauthorized, conflict, rate limited, or starting. Else None."""
    reason: str | None = None
    """The reason in words."""
    since: datetime | None = None
    """Since when."""
    waiting: int = 0
    """The number of deliveries of living sessions that wait for it."""


@frozen
class RunnerReport:
    """A session's runner."""

    state: str
    """absent, waiting (for a place), recovering, running, stopping, or dead (not settled yet)."""
    failures: int = 0
    """Consecutive failed starts and useless runs."""
    last_failure: str | None = None
    """The reason of the last of them."""
    next_start_in_s: float | None = None
    """The rest of the back-off after failures."""


@frozen
class DeliveryReport:
    """The oldest delivery that is not final."""

    id: str
    """Its id, which is `Outgoing.message_out_id`."""
    attempts: int
    """The number of attempts so far."""
    in_flight: bool
    """True while an attempt runs."""
    reason: str | None = None
    """The reason why the last attempt did not deliver it."""
    not_before: datetime | None = None
    """The earliest date of the next attempt."""
    doubts: int = 0
    """The number of attempts whose outcome is unknown."""
    held: bool = False
    """True if it waits until somebody is there to be shown it."""


@frozen
class SilentTask:
    """A task that has not run for longer than one of its periods, or will not, and why."""

    id: str
    """The id of the task."""
    reason: str
    """The reason, as a phrase that follows the id."""


@frozen
class SessionDetails:
    """The details of a living session."""

    runner: RunnerReport
    """Its runner."""
    pending: int
    """The number of messages without an outcome."""
    working_on: int
    """The number of these that the runner has claimed."""
    deliveries: int
    """The number of deliveries that are not final."""
    oldest_delivery: DeliveryReport | None = None
    """The one that waits longest."""
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
    """The recurring tasks that leave out times of their schedules."""
    restored: str | None = None
    """The host's conclusion, if one of its files was lost or restored alone."""
    to_answer: int = 0
    """The number of pending messages that the agent must handle: of users, and tasks whose time has come."""
    waiting_tasks: int = 0
    """The number of pending tasks that wait for their time."""
    queued: int | None = None
    """Its place in the queue of sessions that wait for a sandbox. None if it does not wait."""
    waiting_for: Mapping[str, int] = Factory(dict)
    """The number of deliveries that wait, by channel."""
    used_up: str | None = None
    """The budget or disk space that is used up, so that the session waits. None if it may work."""


@frozen
class SessionReport:
    """A living session."""

    id: str
    """Its id."""
    agent_group: str
    """The name of its agent."""
    agent_group_id: str
    """The id of its agent."""
    chat: str | None
    """`<channel>:<chat>[/<thread>]`; None if it serves all chats of its agent group."""
    status: str
    """Its status on disk; only an active session is woken."""
    state: str
    """The state of its actor in the live tree."""
    mailbox: int
    """The number of messages that wait in the actor's mailbox."""
    restarts: int
    """The number of times that the actor was restarted."""
    parked: int
    """The number of events that are parked for it."""
    questions: int = 0
    """The number of its agent's questions that nobody has answered."""
    last_crash: str | None = None
    """The error of its last crash."""
    details: SessionDetails | None = None
    """None if it did not answer within a second, or is not running."""


@frozen
class HostReport:
    """The status of a host."""

    version: str
    """The version of NanoClaw."""
    pid: int
    """The process that it runs in."""
    started_at: datetime
    """The date of its start."""
    uptime_s: float
    """Seconds since its start."""
    data: str
    """The data directory that it owns."""
    runtime: str
    """The name of the runtime."""
    channels: tuple[ChannelReport, ...]
    """Its channels."""
    sessions: int
    """The number of sessions on disk that are not archived."""
    living: int
    """The number of sessions with an actor that is not buried."""
    buried: int
    """The number of sessions whose actor was given up for now."""
    parked: int
    """The number of events that wait for a session that cannot take them."""
    living_sessions: tuple[SessionReport, ...]
    """The sessions that have an actor, buried ones too."""
    unheard: tuple[str, ...] = ()
    """A line for each wiring that hears nobody, because its rules are invalid."""
    descriptors_used: int | None = None
    """The file descriptors of the host's process. None if the system does not tell."""
    descriptors_limit: int | None = None
    """The limit of these. Near it, runners without work are stopped, and others start late."""
    refused: tuple[str, ...] = ()
    """A sentence for each chat whose messages could not be stored lately: the chat, and the reason."""
    damaged: tuple[str, ...] = ()
    """A sentence for each row of the central database that cannot be used."""
    questions: int = 0
    """The number of questions that nobody has answered."""
    zone_doubt: str | None = None
    """The reason why the time zone may be wrong, with advice."""
    disk: str | None = None
    """The reason why no sandbox runs, while the disk is nearly full."""
    approvals: tuple[str, ...] = ()
    """A sentence if approvals wait and nobody can be shown them."""
    budgets: tuple[str, ...] = ()
    """A sentence for each budget for today that is near or used up, and each model without a known price."""
    network: tuple[str, ...] = ()
    """A sentence if agents ask for sites."""
    runtime_state: str | None = None
    """The state of the runtime's engine in words. None if the runtime has no state of its own."""
    runtime_ready: bool = True
    """False while no runner can start. Then messages wait."""


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
