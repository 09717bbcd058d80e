"""The state of a session in four parts, each a frozen value. `core.decide` makes the next one."""

from datetime import datetime
from enum import Enum

from attrs import Factory, frozen

from nanoclaw.budgets import OpenBreaker
from nanoclaw.records import Address, ContainerStatus, SessionStatus
from nanoclaw.session.comparing import History
from nanoclaw.session.deliveries import Deliveries
from nanoclaw.session.messages import Messages
from nanoclaw.session.rules import Rules
from nanoclaw.session.runner import Runner
from nanoclaw.session.transactions import StoredSession
from nanoclaw.store.session.restored import Restored


@frozen
class Moment:
    """One moment on both clocks. Due times are dates. Timeouts and back-offs use the monotonic clock."""

    date: datetime
    monotonic: float


# -- the outbound file ---------------------------------------------------------


@frozen
class Readable:
    """The last look read the file, or there was none yet."""


@frozen
class Locked:
    """The runner held the file's lock, so the last look read nothing."""

    reason: str
    outdated: bool = False
    """True if the last successful look found another build's file."""


@frozen
class Unavailable:
    """The system could not serve the file, so the last looks read nothing. It is no verdict on the file."""

    reason: str
    outdated: bool = False
    """True if the last successful look found another build's file."""
    tries: int = 1
    """The number of such looks in a row."""


@frozen
class HotJournal:
    """The runner died in a transaction, so the last look read nothing. A living runner rolls it back."""

    reason: str
    outdated: bool = False
    """True if the last successful look found another build's file."""


@frozen
class Outdated:
    """The file is of another build. A runner must be started to migrate it."""


@frozen
class Quarantined:
    """The file cannot be trusted. Nothing more is read, and no runner starts."""

    reason: str


File = Readable | Locked | Unavailable | HotJournal | Outdated | Quarantined


@frozen
class Outbound:
    """The file `outbound.db`, as of the last look."""

    file: File = Readable()
    looked: bool = False
    """True if a look has succeeded, so the claims of the last runner are known."""
    recovered: bool = False
    """True if a recovery has ended since the last successful look."""
    more: bool = False
    """True if rows wait to be read until the queue has room."""
    ignored: str | None = None
    """Description of one row or ack in it that is never read."""
    history: History = History.COMPARED
    """The relation of `inbound.db` to this file."""

    @property
    def unreadable(self) -> str | None:
        """The reason why the last look read nothing, or None."""
        return self.file.reason if isinstance(self.file, Locked | Unavailable | HotJournal) else None

    @property
    def outdated(self) -> bool:
        """True if the file is of another build."""
        match self.file:
            case Outdated() | Locked(outdated=True) | Unavailable(outdated=True) | HotJournal(outdated=True):
                return True
            case _:
                return False

    @property
    def quarantined(self) -> str | None:
        """The reason for the quarantine, or None."""
        return self.file.reason if isinstance(self.file, Quarantined) else None


# -- all of it -----------------------------------------------------------------


class Phase(Enum):
    """The stages of a session's life."""

    OPEN = "open"
    STOPPING = "stopping"
    """It starts no more runners, and stops the present one."""
    ENDING = "ending"
    """It begins no more attempts either."""


@frozen
class Activity:
    """Times of the last activity, on the monotonic clock."""

    active_at: float
    """The last time that the session stored, settled or sent something."""
    swept_at: float
    """The time from which the next sweep is counted."""
    told: tuple[ContainerStatus, float]
    """The last recorded presence: container status and `active_at`."""

    @classmethod
    def since(cls, monotonic: float) -> "Activity":
        """Return the activity of a session that starts now."""
        return cls(monotonic, monotonic, ("stopped", monotonic))


@frozen
class BreakerHold:
    """The wait of a session whose breaker is open: a budget or disk space is used up."""

    breaker: OpenBreaker
    since: float
    """The time, on the monotonic clock, since when it waits."""
    looked: bool = False
    """True if a look has succeeded since, so the claims of the turn in progress are known."""
    told: frozenset[Address | None] = frozenset()
    """The chats that were told why the session waits."""


@frozen
class SessionState:
    """The whole state of a session."""

    rules: Rules
    status: SessionStatus
    messages: Messages
    deliveries: Deliveries
    activity: Activity
    runner: Runner = Factory(Runner)
    outbound: Outbound = Factory(Outbound)
    phase: Phase = Phase.OPEN
    open_breaker: BreakerHold | None = None
    """Set while a budget or disk space is used up."""
    restored: Restored | None = None
    """The conclusion about files that do not continue each other."""

    @classmethod
    def initial(
        cls, stored: StoredSession, rules: Rules, status: SessionStatus, monotonic: float
    ) -> "SessionState":
        """Return the state at the actor's start, from the session's file."""
        messages = Messages(rules.retry_base_s, rules.max_tries, own_seq=stored.own_seq).add(stored.open)
        return cls(
            rules,
            status,
            messages,
            Deliveries.of(stored),
            Activity.since(monotonic),
            outbound=Outbound(history=stored.history),
            restored=stored.restored,
        )
