"""Silences the log: a simulation provokes errors on purpose, and their log lines would hide its report."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def silent_logs() -> Iterator[None]:
    """Log nothing while the block runs; restore the configuration of structlog afterwards."""
    before = structlog.get_config()
    silence_logs()
    try:
        yield
    finally:
        structlog.configure(**before)


def silence_logs() -> None:
    """Log nothing in this process from now on."""
    structlog.configure(
        processors=[_drop],
        logger_factory=structlog.ReturnLoggerFactory(),  # the default one needs a standard output
        wrapper_class=structlog.make_filtering_bound_logger(50),
        cache_logger_on_first_use=False,  # a cached logger would stay silent after the block
    )


def _drop(_logger: object, _method: str, _fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    raise structlog.DropEvent
