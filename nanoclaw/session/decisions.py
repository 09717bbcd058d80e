"""The values that `core.decide` returns: the next state, effects, and the next step."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from attrs import Factory, frozen

from nanoclaw.budgets import OpenBreaker
from nanoclaw.channels.protocol import Outcome
from nanoclaw.records import Address, ContainerStatus
from nanoclaw.session.finishing import Finished
from nanoclaw.session.queue import Delivery
from nanoclaw.session.state import SessionState
from nanoclaw.session.transactions import Settlement
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.outbound import Look

# -- steps: awaited one at a time; each ends with an event -------------


@frozen
class ReadOutbound:
    """Read the runner's commits. Ends with `Looked`, or with the reason why nothing was read."""


@frozen
class RowsSeen:
    """A look caused the settlement."""

    newly_claimed: Sequence[str] = ()
    more: bool = False
    """True if there may be more rows to read at once."""
    again: bool = False
    """True if acks were settled, and one look may not read all acks."""


@frozen
class NothingSeen:
    """The look read nothing. Work that was read before continues."""

    blind: bool
    """True if a lock, the system, a hot journal or a recovery prevented the look."""


@frozen
class DeathJudged:
    """The runner's death caused the settlement."""

    idle: bool
    """True if the runner had claimed nothing."""


@frozen
class Settle:
    """Commit a settlement. Ends with `Committed`."""

    settlement: Settlement
    now: datetime
    cause: RowsSeen | NothingSeen | DeathJudged


@frozen
class TellOfDelay:
    """Tell waiting users that no runner starts. Ends with `DelayTold`."""

    waiting: Sequence[OpenMessage]
    reason: str


@frozen
class TellOfBreaker:
    """Tell waiting users that a budget is used up. Ends with `BudgetTold`."""

    waiting: Sequence[OpenMessage]
    breaker: OpenBreaker


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


Step = ReadOutbound | Settle | TellOfDelay | TellOfBreaker | Finish | Attempt


# -- effects: carried out at once, without waiting ----------------------------


@frozen
class StartRunner:
    """Start or adopt a runner, in a task of its own."""


@frozen
class StopRunner:
    """Stop the runner."""


@frozen
class RecoverOutbound:
    """Have the runner roll back a hot journal, in a task of its own."""


@frozen
class HandOver:
    """Give a delivery, whose start is on disk, to the delivery task."""

    delivery: Delivery


@frozen
class ShowTyping:
    """Show that the agent works on a message from this address."""

    address: Address


@frozen
class TellSettled:
    """Tell a channel that a user's message is settled."""

    address: Address
    platform_message_id: str
    outcome: Outcome


@frozen
class Wake:
    """Begin another round."""


@frozen
class Retire:
    """Retire the session's actor, unless a message is arriving."""


@frozen
class NotePresence:
    """Record the container's status and the time of last use in the central database, coalesced."""

    container_status: ContainerStatus
    idle_s: float


@frozen
class CountUsage:
    """Count what the session has seen, for its budgets. Coalesced."""

    turns: int = 0
    tool_calls: int = 0
    messages: int = 0


@frozen
class TellLooked:
    """Tell the observer what a look read, before the session acts on it."""

    seen: Look
    now: datetime


@frozen
class TellQuarantined:
    """Tell the observer that the outbound file is quarantined."""

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
    | CountUsage
    | TellLooked
    | TellQuarantined
    | Log
)


@frozen
class Decisions:
    """The consequences of an event: the next state, effects, and the next step.

    An effect that must not happen before a commit belongs to the event that reports the commit.
    """

    state: SessionState
    effects: tuple[Effect, ...] = ()
    step: Step | None = None
