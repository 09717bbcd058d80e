"""Refusals of operations, besides those of the store (`nanoclaw.store.OperationRefused`)."""

from nanoclaw.store import OperationRefused


class BadArguments(OperationRefused):
    """An argument is missing, unknown, or not of its type; the text names it."""


class Forbidden(OperationRefused):
    """The caller lacks the right; the text says which one."""


class Unavailable(OperationRefused):
    """Something that the operation needs is not there now; the text says what."""
