"""The input of the channel suite: a channel, and hooks to observe and control the network behind it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager

from attrs import frozen

from nanoclaw.channels.protocol import Channel
from nanoclaw.records import Address


@frozen
class Thread:
    """A thread of the chat under test."""

    address: Address
    """The thread's address, with `thread_id`."""
    texts: Callable[[], Sequence[str]]
    """The messages that users see in the thread, oldest first."""
    says: Callable[[str], Awaitable[None]] | None = None
    """Makes a user write in the thread; returns as `ChannelUnderTest.says` does."""


@frozen
class DirectChat:
    """The direct chat of a user of the network."""

    user_id: str
    """The id of the user, with the network's prefix."""
    texts: Callable[[], Sequence[str]]
    """The messages that the user sees in it, oldest first."""


@frozen
class ChannelUnderTest:
    """A channel, and what its tester can do to the network behind it; a hook may be left out.

    The ids of messages are those that the network knows: of ours the one in the receipt, of users' that of
    the offered message.
    """

    channel: Channel
    """The subject, not yet opened."""
    address: Address
    """A chat of the network."""
    texts: Callable[[], Sequence[str]]
    """The messages that users see in that chat, oldest first."""
    says: Callable[[str], Awaitable[None]] | None = None
    """Makes a user write in that chat; returns once the network knows that the message arrived."""
    presses: Callable[[str], Awaitable[None]] | None = None
    """Makes a user press the button with that label on the newest card; returns as `says` does."""
    offers_again: bool = True
    """True if the network offers an event again until it is confirmed."""
    down: Callable[[], AbstractContextManager[None]] | None = None
    """Makes the network unreachable while the block runs."""
    rejecting: Callable[[], AbstractContextManager[None]] | None = None
    """Makes the network refuse our messages while the block runs."""
    silent: Callable[[], AbstractContextManager[None]] | None = None
    """Makes the network accept messages without an answer while the block runs: the call fails or hangs."""
    edits: Callable[[str], Awaitable[None]] | None = None
    """Makes the user change the text of their newest message in that chat; returns as `says` does."""
    deletes: Callable[[], Awaitable[None]] | None = None
    """Makes the user delete their newest message in that chat; returns as `says` does."""
    reacts: Callable[[str], Awaitable[None]] | None = None
    """Makes a user react with that emoji to our newest message in that chat; returns as `says` does."""
    files: Callable[[], Sequence[tuple[str, bytes]]] | None = None
    """The files that users got in that chat, oldest first: name and bytes."""
    sends: Callable[[str, bytes], Awaitable[None]] | None = None
    """Makes a user send a file with that name in that chat; returns as `says` does."""
    answers: Callable[[], Sequence[str | None]] | None = None
    """For each of `texts`, the id of the message that it is shown as a reply to."""
    reactions: Callable[[], Sequence[tuple[str, str]]] | None = None
    """The reactions that users see in that chat, oldest first: the id of the message, and the emoji."""
    thread: Thread | None = None
    """A thread of that chat, if it has threads."""
    renames: Callable[[str], Awaitable[None]] | None = None
    """Gives that chat a new name; returns as `says` does."""
    joins: Callable[[], Awaitable[None]] | None = None
    """Makes a user join that chat; returns as `says` does."""
    leaves: Callable[[], Awaitable[None]] | None = None
    """Makes the same user leave it; returns as `says` does."""
    direct: DirectChat | None = None
    """The direct chat of a user, if the channel can find it."""
    discarding: Callable[[], AbstractContextManager[None]] | None = None
    """Makes the network discard the contents of our files while the block runs, so that memory has none."""
    sends_large: Callable[[str, int], Awaitable[None]] | None = None
    """Makes a user send a file of that many bytes, which the network makes as it sends them; as `sends`."""
