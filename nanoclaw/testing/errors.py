"""What goes wrong in a world, other than what its tests are about."""

from actors import Refusal


class WorldError(Exception):
    """A world was used in a way that cannot work; the text says what to do."""


class ExpectationFailed(AssertionError):
    """What was expected did not happen; the text tells what did."""


class HostKilled(Refusal):
    """What a killed host meets wherever it would still have an effect. It never reaches a test."""

    def __init__(self) -> None:
        super().__init__("the host was killed")
