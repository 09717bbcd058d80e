"""The notes of a recording: one a line, each a frozen record with its moment.

This is format 1. A field may be added if it has a default. Any other change increments `FORMAT`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import asdict, frozen

from nanoclaw.channels.protocol import Capabilities, Repeat
from nanoclaw.records import Address, Event, Routed
from nanoclaw.store.session.outbound import Ack, InvalidRow, MessageOut

FORMAT = 1


@frozen
class ChannelKind:
    """A channel of the host."""

    channel_type: str
    repeat: Repeat
    buttons: bool = False
    edits: bool = True
    reactions: bool = True
    files: bool = True
    typing: bool = True
    settled: bool = True
    drafts: bool = False
    card_edits: bool = False
    direct_chats: bool = False
    threads: bool = True
    longest_text: int | None = None
    user_prefix: str | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Its capabilities."""
        known = asdict(self)
        del known["channel_type"]
        return Capabilities(**known)


@frozen
class Began:
    """The first line. `date` is the date at time 0; `config` has the keys of `KEPT`."""

    format: int
    nanoclaw: str
    date: datetime
    config: Mapping[str, object]
    channels: tuple[ChannelKind, ...]
    redacted: bool = False


@frozen
class Kept:
    """The data directory has been copied. The following notes continue from that copy."""


# -- channels ------------------------------------------------------------------


@frozen
class Offered:
    """A channel offered an event. `channel` None means the program that embeds the host."""

    n: int
    channel: str | None
    event: Event
    lengths: tuple[int, ...] = ()
    """The lengths of the data of its files, which are left out."""


@frozen
class Confirmed:
    """The result of an offered event."""

    n: int
    routed: Routed


@frozen
class NotConfirmed:
    """An offer was refused, or cancelled before its result."""

    n: int
    reason: str


@frozen
class ReceiverEnded:
    """The receiver of a channel ended or failed."""

    channel: str
    reason: str | None


@frozen
class Connected:
    """The sender of a channel was opened, or failed to open."""

    channel: str
    failed: str | None = None


@frozen
class Disconnected:
    """A sender's connection broke, `took_s` before the host closed it."""

    channel: str
    reason: str
    took_s: float = 0.0


@frozen
class FileMark:
    """A file of a message, without its content."""

    name: str
    size: int


@frozen
class Asked:
    """A channel was asked to deliver a message, or to look up whether it was delivered before."""

    n: int
    channel: str
    key: str
    address: Address
    content: Mapping[str, object]
    in_reply_to: str | None = None
    files: tuple[FileMark, ...] = ()
    lookup: bool = False


Answer = Literal["receipt", "nothing", "rejected", "unavailable", "unattended", "broke", "given up"]
"""`nothing`: the lookup did not find it. `given up`: the host stopped waiting.
`unattended`: nobody was there to be shown it."""


@frozen
class Answered:
    """The answer of a channel, after `took_s`."""

    n: int
    answer: Answer
    took_s: float
    platform_message_id: str | None = None
    reason: str = ""
    retry_after: float | None = None


# -- runners -------------------------------------------------------------------


@frozen
class RunnerAsked:
    """The host asked the runtime for a runner."""

    n: int
    session: str
    provider: str


@frozen
class RunnerStarted:
    """The runner has started."""

    n: int


@frozen
class RunnerStopping:
    """The host asked the runner to stop. `silent_s` is the age of its heartbeat; None if unknown."""

    n: int
    silent_s: float | None = None


@frozen
class RunnerEnded:
    """The runner has ended."""

    n: int
    orderly: bool
    reason: str
    hindered: bool = False
    """True if that counts as no try."""


@frozen
class RunnerRefused:
    """The runner could not be started."""

    n: int
    reason: str
    for_now: bool = False
    """True if its messages wait (`NotNow`)."""
    exhausted: bool = True
    """False if they wait for something else than what is exhausted (`NothingLeft`), such as an engine."""


@frozen
class Recovered:
    """A runner was run to recover `outbound.db`. `failed` says why that failed."""

    session: str
    failed: str | None = None


@frozen
class Survivors:
    """The sessions whose runners outlived the last host; `failed` says why that is not known."""

    sessions: tuple[str, ...] = ()
    failed: str | None = None


@frozen
class Looked:
    """New rows and acks that the host saw in a session's `outbound.db`, at the date `now`."""

    session: str
    now: datetime
    rows: tuple[MessageOut, ...] = ()
    bad: tuple[InvalidRow, ...] = ()
    acks: tuple[Ack, ...] = ()
    gone: tuple[str, ...] = ()
    """Messages that were claimed before, and are now neither claimed nor finished."""
    tool_timeout_s: float = 0.0


@frozen
class Quarantined:
    """The host refused to read a session's `outbound.db` any further."""

    session: str
    reason: str


# -- everything else -----------------------------------------------------------


@frozen
class Jumped:
    """The date jumped to `date`. The host noticed it now."""

    by_s: float
    date: datetime


@frozen
class Drew:
    """The random part of an id, and its purpose. It is empty in older recordings, which lack it."""

    id: str
    what: str = ""


@frozen
class Told:
    """A request to the registry from outside: by `host.admin`, or at the first run."""

    message: str
    fields: Mapping[str, object]


@frozen
class Stopping:
    """The host began to stop."""


@frozen
class Left:
    """The final status of each message and delivery of a session that the host worked on."""

    session: str
    messages: Mapping[str, str]
    deliveries: Mapping[str, str]


@frozen
class Ended:
    """The last line of a host that was not killed."""


Note = (
    Began
    | Kept
    | Offered
    | Confirmed
    | NotConfirmed
    | ReceiverEnded
    | Connected
    | Disconnected
    | Asked
    | Answered
    | RunnerAsked
    | RunnerStarted
    | RunnerStopping
    | RunnerEnded
    | RunnerRefused
    | Recovered
    | Survivors
    | Looked
    | Quarantined
    | Jumped
    | Drew
    | Told
    | Stopping
    | Left
    | Ended
)
