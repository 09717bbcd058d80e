"""What an operation refuses besides what the rows forbid (`nanoclaw.store.OperationRefused`)."""

from nanoclaw.store import OperationRefused


class BadArguments(OperationRefused):
    """An argument is missing, unknown, or not of its type; the text names it."""


class Forbidden(OperationRefused):
    """Who asks lacks the right; the text says which one."""


class Unavailable(OperationRefused):
    """The operation needs what is not there now; the text says what."""
