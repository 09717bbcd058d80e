"""The tree as it is at one moment."""

from typing import Literal

from attrs import frozen

State = Literal["starting", "running", "leaving", "restarting", "buried", "stopping"]
"""`leaving` is the recipe's teardown, `restarting` the wait before a restart."""


@frozen
class Node:
    """An actor or a supervisor. A supervisor has children and no mailbox: its capacity is 0.

    `in_flight` is the type of the message being handled, for `in_flight_age` seconds.
    """

    name: str
    state: State
    mailbox: int = 0
    capacity: int = 0
    in_flight: str | None = None
    in_flight_age: float = 0.0
    restarts: int = 0
    last_crash: str | None = None
    children: tuple["Node", ...] = ()
