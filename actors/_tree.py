"""A snapshot of the tree."""

from typing import Literal

from attrs import frozen

State = Literal["starting", "running", "leaving", "restarting", "buried", "stopping"]
"""`leaving`: the recipe's teardown runs. `restarting`: the delay before a restart runs."""


@frozen
class Node:
    """An actor or a supervisor. A supervisor has children and no mailbox, so its capacity is 0.

    `in_flight` is the type name of the message being handled; `in_flight_age` is in seconds.
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
