"""The parts of Discord's JSON that the channel reads, as values.

Reading is strict: what does not fit raises `Unreadable`, whatever the network sends.
"""

from typing import Any, TypeVar

import cattrs
from attrs import frozen

T = TypeVar("T")

TEXT, DM = 0, 1
THREADS = frozenset({10, 11, 12})
"""The types of channels: of servers, of users, and threads."""
MESSAGES = frozenset({0, 19})
"""The types of messages that users write: plain ones and replies."""
PRESS, COMMAND = 3, 2
"""The types of interactions that are the press of a button, and a command."""


class Unreadable(ValueError):
    """JSON of the network that has no meaning for the channel. The text says why."""


@frozen
class User:
    """A user."""

    id: str
    username: str = ""
    global_name: str | None = None
    bot: bool = False

    @property
    def name(self) -> str:
        """The name that people see."""
        return self.global_name or self.username or self.id


@frozen
class Member:
    """A user's part in a server."""

    nick: str | None = None
    user: User | None = None


@frozen
class File:
    """A file of a message."""

    id: str
    filename: str
    url: str
    size: int = 0
    content_type: str | None = None


@frozen
class Quoted:
    """The message that another one replies to."""

    id: str
    author: User | None = None
    content: str = ""


@frozen
class Message:
    """A message. Edits that only add a preview may lack an author."""

    id: str
    channel_id: str
    author: User | None = None
    content: str | None = None
    guild_id: str | None = None
    member: Member | None = None
    type: int = 0
    mentions: tuple[User, ...] = ()
    mention_roles: tuple[str, ...] = ()
    attachments: tuple[File, ...] = ()
    edited_timestamp: str | None = None
    referenced_message: Quoted | None = None
    webhook_id: str | None = None
    nonce: str | int | None = None


@frozen
class Gone:
    """A deleted message, or several of one channel."""

    channel_id: str
    guild_id: str | None = None
    id: str | None = None
    ids: tuple[str, ...] = ()


@frozen
class Emoji:
    """An emoji: a character, or one of a server."""

    name: str | None = None
    id: str | None = None


@frozen
class Reaction:
    """A reaction."""

    user_id: str
    channel_id: str
    message_id: str
    emoji: Emoji
    guild_id: str | None = None
    member: Member | None = None


@frozen
class Choice:
    """An option of a command with its value."""

    name: str
    value: str | int | float | bool | None = None


@frozen
class Action:
    """The content of an interaction: the button that was pressed, or the command."""

    name: str = ""
    custom_id: str = ""
    options: tuple[Choice, ...] = ()


@frozen
class Interaction:
    """The press of a button, or a command."""

    id: str
    token: str
    type: int
    application_id: str
    channel_id: str | None = None
    guild_id: str | None = None
    data: Action | None = None
    member: Member | None = None
    user: User | None = None

    @property
    def by(self) -> User | None:
        """The user."""
        return self.user or (self.member.user if self.member else None)


@frozen
class Channel:
    """A chat or a thread of the network."""

    id: str
    type: int = 0
    name: str | None = None
    guild_id: str | None = None
    parent_id: str | None = None
    recipients: tuple[User, ...] = ()


@frozen
class Tags:
    """The reason for a role: the bot whose own it is."""

    bot_id: str | None = None


@frozen
class Role:
    """A role of a server."""

    id: str
    tags: Tags | None = None


@frozen
class Guild:
    """A server with its chats and threads."""

    id: str
    name: str = ""
    channels: tuple[Channel, ...] = ()
    threads: tuple[Channel, ...] = ()
    roles: tuple[Role, ...] = ()
    unavailable: bool = False


def read(type_: type[T], data: object) -> T:
    """Return a value from JSON. Unknown keys are ignored.

    Raises:
        Unreadable: a key is missing or has the wrong type.
    """
    try:
        return _JSON.structure(data, type_)
    except (
        cattrs.BaseValidationError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:
        raise Unreadable(f"a {type_.__name__} of Discord that cannot be read: {error}"[:300]) from error


def _exactly(value: object, type_: Any) -> Any:
    if not isinstance(value, type_) or (isinstance(value, bool) and type_ is int):
        raise TypeError(f"expected {type_.__name__}, got {type(value).__name__}")
    return value


def _text(value: object, _: object) -> str:
    return str(_exactly(value, str))


def _flag(value: object, _: object) -> bool:
    return bool(_exactly(value, bool))


def _number(value: object, _: object) -> int:
    return int(_exactly(value, int))


_JSON = cattrs.Converter(detailed_validation=False)
_JSON.register_structure_hook(str, _text)
_JSON.register_structure_hook(bool, _flag)
_JSON.register_structure_hook(int, _number)
_JSON.register_structure_hook(
    str | int | None, lambda value, _: value if isinstance(value, str | int) else None
)
_JSON.register_structure_hook(
    str | int | float | bool | None, lambda value, _: value if isinstance(value, str | int | float) else None
)
