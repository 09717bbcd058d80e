"""What happens to a session: the values that `core.decide` takes."""

from collections.abc import Sequence

from attrs import frozen

from nanoclaw.records import SessionStatus
from nanoclaw.runtimes import Death
from nanoclaw.session.decisions import Finish, Settle
from nanoclaw.session.finishing import AttemptEnded
from nanoclaw.session.outcomes import Result
from nanoclaw.session.queue import Delivery
from nanoclaw.session.transactions import SettlementOutcome
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import Look, MessageOut


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
    settled: SettlementOutcome


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
