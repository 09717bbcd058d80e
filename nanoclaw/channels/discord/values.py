"""The values that pass between the channel and its connection."""

from pathlib import Path
from typing import Any

from attrs import frozen


@frozen
class Session:
    """A session of the gateway, which a later connection can resume."""

    id: str
    url: str
    sequence: int


@frozen
class Dispatch:
    """An event of the gateway."""

    name: str
    data: Any
    sequence: int


@frozen
class Button:
    """A button of a card."""

    label: str
    custom_id: str


@frozen
class Post:
    """A message to send, or the new state of one."""

    text: str
    nonce: str | None = None
    reply_to: str | None = None
    buttons: tuple[Button, ...] = ()
    files: tuple[tuple[str, Path], ...] = ()
    """Names and places of files."""
