"""The state of a session: four parts, each a frozen value. `core.decide` makes the next one."""

from datetime import datetime
from enum import Enum

from attrs import Factory, frozen

from nanoclaw.records import ContainerStatus, SessionStatus
from nanoclaw.session.deliveries import Deliveries
from nanoclaw.session.messages import Messages
from nanoclaw.session.rules import Rules
from nanoclaw.session.runner import Runner
from nanoclaw.session.transactions import StoredSession


@frozen
class Moment:
    """One moment on both clocks: due moments are dates, life and death count on the monotonic one."""

    date: datetime
    monotonic: float


# -- the outbound file ---------------------------------------------------------


@frozen
class Readable:
    """The last look read it; so far, nothing speaks against it."""


@frozen
class Locked:
    """Its writer held it during the last look, which saw nothing."""

    reason: str
    outdated: bool = False
    """Whether the last look that saw something found another build's file."""


@frozen
class HotJournal:
    """Its writer died within a transaction, and the last look saw nothing. A living runner rolls it back."""

    reason: str
    outdated: bool = False
    """Whether the last look that saw something found another build's file."""


@frozen
class Outdated:
    """It is another build's: a runner has to be started to bring it up to date."""


@frozen
class Quarantined:
    """It cannot be trusted: nothing more is read, and no runner is started."""

    reason: str


File = Readable | Locked | HotJournal | Outdated | Quarantined


@frozen
class Outbound:
    """The file `outbound.db`, as the session has seen it."""

    file: File = Readable()
    looked: bool = False
    """Whether a look has ended without something in the way: what the last runner had claimed is known."""
    recovered: bool = False
    """Whether a recovery has ended since the last look that saw something."""
    more: bool = False
    """Whether rows wait to be read until there is room for them."""
    ignored: str | None = None
    """One of the things in it that are never read."""
    skip_old: bool = False
    """Whether `inbound.db` is new beside it: its rows of before are never delivered."""

    @property
    def unreadable(self) -> str | None:
        """Why the last look saw nothing."""
        return self.file.reason if isinstance(self.file, Locked | HotJournal) else None

    @property
    def outdated(self) -> bool:
        """Whether it is another build's."""
        match self.file:
            case Outdated() | Locked(outdated=True) | HotJournal(outdated=True):
                return True
            case _:
                return False

    @property
    def quarantined(self) -> str | None:
        """Why nothing more is read."""
        return self.file.reason if isinstance(self.file, Quarantined) else None


# -- all of it -----------------------------------------------------------------


class Phase(Enum):
    """The stages of a session's life."""

    OPEN = "open"
    STOPPING = "stopping"
    """It starts no more runners and stops the one there is."""
    ENDING = "ending"
    """It begins no more attempts either."""


@frozen
class Activity:
    """When something last happened, on the monotonic clock."""

    active_at: float
    """The session was of use to somebody."""
    swept_at: float
    """The last round began, or there was something to sweep for again."""
    told: tuple[ContainerStatus, float]
    """The presence that the central database was last told: container status and `active_at`."""

    @classmethod
    def since(cls, monotonic: float) -> "Activity":
        """Begin now."""
        return cls(monotonic, monotonic, ("stopped", monotonic))


@frozen
class SessionState:
    """All that a session knows."""

    rules: Rules
    status: SessionStatus
    messages: Messages
    deliveries: Deliveries
    activity: Activity
    runner: Runner = Factory(Runner)
    outbound: Outbound = Factory(Outbound)
    phase: Phase = Phase.OPEN

    @classmethod
    def initial(
        cls, memory: StoredSession, rules: Rules, status: SessionStatus, monotonic: float, *, skip_old: bool
    ) -> "SessionState":
        """Begin with what the session finds in its own file."""
        messages = Messages(rules.retry_base_s, rules.max_tries, own_seq=memory.own_seq).add(memory.open)
        return cls(
            rules,
            status,
            messages,
            Deliveries.of(memory),
            Activity.since(monotonic),
            outbound=Outbound(skip_old=skip_old),
        )
