"""What happens to a session, and what it decides: the values that `core.decide` takes and returns."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from attrs import Factory, frozen

from nanoclaw.channels.protocol import Outcome
from nanoclaw.records import Address, ContainerStatus, SessionStatus
from nanoclaw.runtimes import Death
from nanoclaw.session.outcomes import Result
from nanoclaw.session.queue import Delivery
from nanoclaw.session.state import SessionState
from nanoclaw.session.transactions import AttemptEnded, Finished, Settled, Settlement
from nanoclaw.store.messages_in import OpenMessage
from nanoclaw.store.outbound import Look, MessageOut

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


# -- events --------------------------------------------------------------------


@frozen
class Stored:
    """Messages are on disk."""

    messages: Sequence[OpenMessage]


@frozen
class TasksChanged:
    """An administrator's change of tasks is on disk."""

    opened: Sequence[OpenMessage]
    closed: Sequence[str]
    """Ids of messages that nobody waits for any more."""


@frozen
class RestartAsked:
    """An administrator wants another runner, without waiting for a back-off."""


@frozen
class StatusChanged:
    """The session was paused, archived or made active again, or may have been."""

    status: SessionStatus


@frozen
class Adopted:
    """A runner of this session outlived the last host."""


@frozen
class InboundBlocked:
    """A reader keeps a commit to `inbound.db` waiting, and only a container has it open."""


@frozen
class Ticked:
    """Something is done, or a moment has come: start, stop or retire what is due."""


@frozen
class Closing:
    """The session is to end: no more runners are started."""


@frozen
class Ending:
    """No more attempts are begun."""


@frozen
class RoundBegan:
    """The session was woken, or slept long enough."""

    heartbeat: int | None
    """The modification time of the runner's heartbeat; None: it cannot be read."""


@frozen
class RoundEnded:
    """All that the round brought is done."""


@frozen
class OldRowsSkipped:
    """Rows of before, up to this number, count as seen."""

    up_to: int


@frozen
class Looked:
    """The runner's file was read."""

    seen: Look


@frozen
class FileLocked:
    """The runner's file was locked all the time."""

    reason: str


@frozen
class FileHot:
    """The runner's file has a hot journal."""

    reason: str


@frozen
class FileDamaged:
    """The runner's file cannot be trusted."""

    reason: str


@frozen
class Committed:
    """A settlement is on disk."""

    step: Settle
    settled: Settled


@frozen
class DelayTold:
    """Notices of the delay are on disk."""

    notices: Sequence[MessageOut]


@frozen
class Attempted:
    """An attempt has a result; `delivery` has what was found out on the way."""

    delivery: Delivery
    result: Result


@frozen
class FinishCommitted:
    """The result of an attempt is on disk."""

    step: Finish
    ended: AttemptEnded


@frozen
class RunnerStarted:
    """The runtime reports the runner."""


@frozen
class RunnerEnded:
    """The runner is gone."""

    death: Death


@frozen
class RecoveryEnded:
    """The hot journal was rolled back, or could not be."""

    failure: str | None = None


Event = (
    Stored
    | TasksChanged
    | RestartAsked
    | StatusChanged
    | Adopted
    | InboundBlocked
    | Ticked
    | Closing
    | Ending
    | RoundBegan
    | RoundEnded
    | OldRowsSkipped
    | Looked
    | FileLocked
    | FileHot
    | FileDamaged
    | Committed
    | DelayTold
    | Attempted
    | FinishCommitted
    | RunnerStarted
    | RunnerEnded
    | RecoveryEnded
)


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
