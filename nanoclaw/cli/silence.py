"""Silences the log, for commands whose result and remarks say all that a person needs."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def silent() -> Iterator[None]:
    """Log nothing."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop], logger_factory=structlog.ReturnLoggerFactory())
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: object, _method: str, _fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    raise structlog.DropEvent
