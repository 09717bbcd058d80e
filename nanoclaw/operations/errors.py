"""What an operation refuses besides what the rows forbid (`nanoclaw.store.Refused`)."""

from nanoclaw.store import Refused


class BadArguments(Refused):
    """An argument is missing, unknown, or not of its type; the text names it."""


class Forbidden(Refused):
    """Who asks lacks the right; the text says which one."""


class Unavailable(Refused):
    """The operation needs what is not there now; the text says what."""
