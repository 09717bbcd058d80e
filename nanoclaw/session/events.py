"""The events of a session: the values that `core.decide` takes."""

from collections.abc import Sequence

from attrs import frozen

from nanoclaw.budgets import OpenBreaker
from nanoclaw.records import Address, SessionStatus
from nanoclaw.runtimes import Death
from nanoclaw.session.comparing import Comparison
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
    """Ids of messages that are not open any more."""


@frozen
class RestartAsked:
    """An administrator restarts the runner, without a back-off."""


@frozen
class RenewalAsked:
    """The agent's configuration has changed. The runner starts again after its turn."""


@frozen
class ReleaseAsked:
    """Others need what the runner holds: stop it, if it has no work."""

    between_turns: bool = False
    """True to stop it also if it has work, unless it is in a turn."""


@frozen
class StatusChanged:
    """The session's status was read again. It may be unchanged."""

    status: SessionStatus


@frozen
class BreakerChanged:
    """The session's breaker was read again. It may be unchanged. None means that none is open."""

    breaker: OpenBreaker | None


@frozen
class Adopted:
    """A runner of this session outlived the last host."""


@frozen
class InboundBlocked:
    """A reader blocks a commit to `inbound.db`. Only the container can be that reader."""


@frozen
class Attended:
    """Somebody is there again at an address whose deliveries were held."""

    address: Address


@frozen
class Ticked:
    """Something ended, or a due time passed: check what to start, stop or retire."""


@frozen
class Closing:
    """The session begins to stop. It starts no more runners."""


@frozen
class Ending:
    """The session stops deliveries. It begins no more attempts."""


@frozen
class RoundBegan:
    """A round begins, after a wake-up or at the end of the sleep."""

    heartbeat: int | None
    """The modification time of the runner's heartbeat; None if it cannot be read."""


@frozen
class RoundEnded:
    """All steps of the round are done."""


@frozen
class FilesCompared:
    """The session's files were compared, and the consequences are on disk."""

    comparison: Comparison


@frozen
class Looked:
    """The outbound file was read."""

    seen: Look


@frozen
class FileLocked:
    """The outbound file stayed locked."""

    reason: str


@frozen
class FileUnavailable:
    """The system could not serve the outbound file: exhausted descriptors, a failing disk, no permission."""

    reason: str


@frozen
class FileHot:
    """The outbound file has a hot journal."""

    reason: str


@frozen
class FileDamaged:
    """The outbound file cannot be trusted."""

    reason: str


@frozen
class Committed:
    """A settlement is on disk."""

    step: Settle
    settled: SettlementOutcome


@frozen
class DelayTold:
    """The notices of the delay are on disk."""

    notices: Sequence[MessageOut]


@frozen
class BudgetTold:
    """The notices that a budget is used up are on disk."""

    told: Sequence[Address | None]
    """The chats that know of it now."""
    notices: Sequence[MessageOut]


@frozen
class NoticesAdded:
    """Notices to the owner are on disk."""

    notices: Sequence[MessageOut]


@frozen
class Attempted:
    """An attempt has a result. `delivery` may have been completed by the dispatcher."""

    delivery: Delivery
    result: Result


@frozen
class FinishCommitted:
    """The result of an attempt is on disk."""

    step: Finish
    ended: AttemptEnded


@frozen
class PlaceAwaited:
    """The start of the runner waits for a place among the running sandboxes, or goes on."""

    waits: bool


@frozen
class RunnerStarted:
    """The runtime reported that the runner is up."""


@frozen
class RunnerEnded:
    """The runner has ended."""

    death: Death


@frozen
class RecoveryEnded:
    """A recovery ended. `failure` says why it failed, if it did."""

    failure: str | None = None


Event = (
    Stored
    | TasksChanged
    | RestartAsked
    | RenewalAsked
    | ReleaseAsked
    | StatusChanged
    | BreakerChanged
    | Adopted
    | InboundBlocked
    | Attended
    | Ticked
    | Closing
    | Ending
    | RoundBegan
    | RoundEnded
    | FilesCompared
    | Looked
    | FileLocked
    | FileUnavailable
    | FileHot
    | FileDamaged
    | Committed
    | DelayTold
    | BudgetTold
    | NoticesAdded
    | Attempted
    | FinishCommitted
    | PlaceAwaited
    | RunnerStarted
    | RunnerEnded
    | RecoveryEnded
)
