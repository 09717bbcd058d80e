"""What a session decides: effects, and the step that follows them. The values that `core.decide` returns."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from attrs import Factory, frozen

from nanoclaw.channels.protocol import Outcome
from nanoclaw.records import Address, ContainerStatus
from nanoclaw.session.finishing import Finished
from nanoclaw.session.queue import Delivery
from nanoclaw.session.state import SessionState
from nanoclaw.session.transactions import Settlement
from nanoclaw.store.messages_in import OpenMessage
from nanoclaw.store.outbound import Look

# -- steps: what is awaited, one at a time; each ends with an event -------------


@frozen
class ReadOutbound:
    """Look at what the runner committed. Ends with `Looked`, `FileLocked`, `FileHot` or `FileDamaged`."""


@frozen
class RowsSeen:
    """A look brought the settlement."""

    newly_claimed: Sequence[str] = ()
    more: bool = False
    """Whether there may be more to read at once."""
    again: bool = False
    """Whether acks were judged, and one look may not see all of them."""


@frozen
class NothingSeen:
    """What was read before goes on its way; the look itself brought nothing."""

    blind: bool
    """Whether a lock, a hot journal or a recovery was in the way."""


@frozen
class DeathJudged:
    """The runner's death brought the settlement."""

    idle: bool
    """Whether the runner had claimed nothing."""


@frozen
class Settle:
    """Commit a settlement. Ends with `Committed`."""

    settlement: Settlement
    now: datetime
    cause: RowsSeen | NothingSeen | DeathJudged


@frozen
class TellOfDelay:
    """Tell those who wait that no runner comes to work. Ends with `DelayTold`."""

    waiting: Sequence[OpenMessage]
    reason: str


@frozen
class Finish:
    """Commit the result of an attempt with the start of the next one. Ends with `FinishCommitted`."""

    finished: Finished
    begun: Delivery | None
    now: datetime


@frozen
class Attempt:
    """Ask the receiver of a delivery whose start is on disk. Ends with `Attempted`."""

    delivery: Delivery


Step = ReadOutbound | Settle | TellOfDelay | Finish | Attempt


# -- effects: what is done at once, without waiting ----------------------------


@frozen
class StartRunner:
    """Start or adopt a runner, in a task of its own."""


@frozen
class StopRunner:
    """Ask the runner to go."""


@frozen
class RecoverOutbound:
    """Have the runner roll back a hot journal, in a task of its own."""


@frozen
class HandOver:
    """Give a delivery, whose start is on disk, to the delivery task."""

    delivery: Delivery


@frozen
class ShowTyping:
    """The agent is at work on a message from there."""

    address: Address


@frozen
class TellSettled:
    """A user's message is done with; its channel may show so."""

    address: Address
    platform_message_id: str
    outcome: Outcome


@frozen
class Wake:
    """Go round once more."""


@frozen
class Retire:
    """Let the session's actor end, unless a message is coming in."""


@frozen
class NotePresence:
    """Tell the central database, coalesced, what the container does and when the session was used."""

    container_status: ContainerStatus
    idle_s: float


@frozen
class TellLooked:
    """Tell the observer what the runner says, before anything is done about it."""

    seen: Look
    now: datetime


@frozen
class TellQuarantined:
    """Tell the observer that nothing more is read."""

    reason: str


@frozen
class Log:
    """Write a log event."""

    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: Mapping[str, object] = Factory(dict)


Effect = (
    StartRunner
    | StopRunner
    | RecoverOutbound
    | HandOver
    | ShowTyping
    | TellSettled
    | Wake
    | Retire
    | NotePresence
    | TellLooked
    | TellQuarantined
    | Log
)


@frozen
class Decisions:
    """The consequences of an event: the next state, effects, and the step that follows them.

    Whatever may not happen before a commit follows from the event that reports the commit.
    """

    state: SessionState
    effects: tuple[Effect, ...] = ()
    step: Step | None = None
