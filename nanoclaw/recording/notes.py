"""The notes of a recording: one a line, each a frozen record with its moment.

Version 1. Fields may be added with a default; whatever else changes raises `FORMAT`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import asdict, frozen

from nanoclaw.channels.protocol import Capabilities, Repeat
from nanoclaw.records import Address, Event, Routed
from nanoclaw.store.outbound import Ack, BadRow, MessageOut

FORMAT = 1


@frozen
class ChannelKind:
    """A channel that the host had."""

    channel_type: str
    repeat: Repeat
    buttons: bool = False
    edits: bool = True
    reactions: bool = True
    files: bool = True
    typing: bool = True
    settled: bool = True

    @property
    def capabilities(self) -> Capabilities:
        """Its capabilities."""
        known = asdict(self)
        del known["channel_type"]
        return Capabilities(**known)


@frozen
class Began:
    """The first line. `date` is the date at moment 0; `config` has the keys of `KEPT`."""

    format: int
    nanoclaw: str
    date: datetime
    config: Mapping[str, object]
    channels: tuple[ChannelKind, ...]
    redacted: bool = False


@frozen
class Kept:
    """The data directory was copied; what follows starts from there."""


# -- channels ------------------------------------------------------------------


@frozen
class Offered:
    """An event, offered by a channel; None: by the program in which the host is embedded."""

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
    """An offer was refused, or cut off before its answer."""

    n: int
    reason: str


@frozen
class ReceiverEnded:
    """The receiving half of a channel ended, or broke."""

    channel: str
    reason: str | None


@frozen
class Connected:
    """The sending half of a channel was opened, or could not be."""

    channel: str
    failed: str | None = None


@frozen
class Disconnected:
    """A sender's connection broke, `took_s` before the host let go of it."""

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
    """A channel was asked to deliver a message, or to look for one that may have been sent before."""

    n: int
    channel: str
    key: str
    address: Address
    content: Mapping[str, object]
    in_reply_to: str | None = None
    files: tuple[FileMark, ...] = ()
    lookup: bool = False


Answer = Literal["receipt", "nothing", "rejected", "unavailable", "broke", "given up"]
"""`nothing`: it looked, and does not have it. `given up`: the host did not wait any longer."""


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
    """The host wants a runner."""

    n: int
    session: str
    provider: str


@frozen
class RunnerStarted:
    """The runner has started."""

    n: int


@frozen
class RunnerStopping:
    """The host asks it to go. `silent_s`: how long its heartbeat had not moved; None: that is not known."""

    n: int
    silent_s: float | None = None


@frozen
class RunnerEnded:
    """The runner has ended."""

    n: int
    orderly: bool
    reason: str


@frozen
class RunnerRefused:
    """The runner could not be started."""

    n: int
    reason: str


@frozen
class Recovered:
    """The runner was run to recover `outbound.db`; `failed` says why it could not."""

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
    bad: tuple[BadRow, ...] = ()
    acks: tuple[Ack, ...] = ()
    gone: tuple[str, ...] = ()
    """Messages that were being worked on, and are neither so nor finished."""
    tool_timeout_s: float = 0.0


@frozen
class Quarantined:
    """The host refused to read a session's `outbound.db` any further."""

    session: str
    reason: str


# -- everything else -----------------------------------------------------------


@frozen
class Jumped:
    """The date has jumped, to `date`; the host hears of it now."""

    by_s: float
    date: datetime


@frozen
class Drew:
    """The random part of an id, and what it was for ("": an older recording, that does not know)."""

    id: str
    what: str = ""


@frozen
class Told:
    """The registry was told something from outside: by `host.admin`, or at the first run."""

    message: str
    fields: Mapping[str, object]


@frozen
class Stopping:
    """The host begins to stop."""


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
