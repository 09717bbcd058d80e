"""What the control socket sees of the host: one protocol, and the values that pass through it.

All values are frozen and read-only: whoever asks cannot change what it is told about.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from attrs import frozen

from actors import Node
from nanoclaw.records import Routed

# -- status --------------------------------------------------------------------


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


# -- the terminal's chat -------------------------------------------------------


@frozen
class Shown:
    """A message to show. `tag` is that of the line it answers; None: it answers none of this visitor's."""

    text: str
    tag: str | None = None


@frozen
class Working:
    """The agent is at work."""


@frozen
class Done:
    """A line is done with; `failed` says why there will be no answer."""

    tag: str
    failed: str | None = None


ChatEvent = Shown | Working | Done


class TooSlow(Exception):
    """A visitor did not take what was there for it."""


class Visit(Protocol):
    """One client's presence in the terminal's chat."""

    async def say(self, tag: str, text: str) -> Routed:
        """Offer a line; returns when it is on disk. What becomes of it carries `tag`.

        Raises:
            NotAccepted: it could not be stored.
        """
        ...

    def listen(self) -> None:
        """Be shown what came while nobody was there."""
        ...

    async def next(self) -> ChatEvent:
        """Wait for the next event. To ask for another one says that the last one has arrived.

        Raises:
            TooSlow: too much has been waiting; this visit is over.
        """
        ...


class ChatRoom(Protocol):
    """The terminal's chat, for those who come over the control socket."""

    def visit(self) -> AbstractContextManager[Visit]:
        """Be there while the context is open."""
        ...


# -- logs ----------------------------------------------------------------------


@frozen
class LogLine:
    """One log event as a JSON object in one line; numbers grow by one."""

    number: int
    session: str | None
    text: str


class Logs(Protocol):
    """The latest log events of the process."""

    def latest(self, n: int, session: str | None) -> Sequence[LogLine]:
        """The last `n`, the oldest first; of the sessions whose id begins with `session`, or of all."""
        ...

    def after(self, number: int, session: str | None, n: int) -> tuple[Sequence[LogLine], int, int]:
        """At most `n` events later than `number`.

        Returns them, the number to go on from, and how many others were lost because they are too old.
        """
        ...

    async def wait_after(self, number: int) -> None:
        """Wait until there is an event later than `number`."""
        ...

    @property
    def newest(self) -> int:
        """The number of the last event."""
        ...


# -- all of it -----------------------------------------------------------------


class CannotTell(Exception):
    """What was asked cannot be read now; the text says why."""


class Oversight(Protocol):
    """All that the control socket sees of the host."""

    async def status(self) -> HostReport:
        """What the host is doing. A session that hangs costs its details, and about a second.

        Raises:
            CannotTell: the central database cannot be read now.
        """
        ...

    def tree(self) -> Node:
        """The live tree of actors."""
        ...
