"""Errors of a world."""

from actors import Refusal


class WorldError(Exception):
    """A world was used in a way that cannot work. The text says what to do."""


class ExpectationFailed(AssertionError):
    """An expectation was not met. The text says what happened instead."""


class HostKilled(Refusal):
    """The error that a killed host gets at each call that would have an effect.

    A scenario gets it from its own requests to the host, such as `world.direct` and `host.admin`, if a hook
    kills the host during a commit of the request.
    """

    def __init__(self) -> None:
        super().__init__("the host was killed")
