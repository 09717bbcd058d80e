"""Logging: events with fields on stderr, as text for a terminal and as JSON otherwise.

An event of an actor carries the actor's name and current message. Both are read from the actor runtime only
when a line is written, so a message that logs nothing costs nothing here.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Literal

import structlog
from attrs import frozen

from actors import current
from nanoclaw.logs.ring import LogRing

Fields = MutableMapping[str, Any]
LogLevel = Literal["debug", "info", "warning", "error"]


@frozen
class LogConfig:
    """The logging options."""

    level: LogLevel = "info"
    """The least level that is logged. The default is `warning` at a prompt and with a pipe."""


class _Stderr:
    """The current `sys.stderr`, which a prompt replaces while it is shown.

    A line that cannot be written (a full disk, a closed pipe) is lost, and causes no other failure.
    """

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def configure_logging(level: str, *, human: bool | None = None, ring: LogRing | None = None) -> None:
    """Configure structlog for the program `nanoclaw`. Embedding programs configure structlog themselves.

    `human` selects text or JSON; None selects text if stderr is a terminal. `ring` keeps events from `info`
    up, even if `level` shows fewer.
    """
    human = sys.stderr.isatty() if human is None else human
    shown, kept = _number(level), logging.INFO if ring else logging.CRITICAL
    renderer = _for_people() if human else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_actor,
            structlog.processors.add_log_level,
            *_keep(ring, shown),
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
            *([] if human else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(min(shown, kept)),
        logger_factory=structlog.PrintLoggerFactory(_Stderr()),  # type: ignore[arg-type]  # all that it uses of a file
        cache_logger_on_first_use=True,
    )


def _for_people() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)


def _number(level: str) -> int:
    return int(getattr(logging, level.upper()))


def _keep(ring: LogRing | None, shown: int) -> list[structlog.typing.Processor]:
    return [] if ring is None else [ring.add, partial(_drop_below, shown)]


def _drop_below(shown: int, _logger: object, _method: str, fields: Fields) -> Fields:
    if _number(fields["level"]) < shown:
        raise structlog.DropEvent
    return fields


@contextmanager
def keeping_events() -> Iterator[LogRing | None]:
    """Yield the ring of the process's structlog configuration, or else one that is added while this is open.

    An added ring gets the events from `info` up that the configuration lets through, of the whole process.
    None is yielded if the configuration cannot be extended.
    """
    processors: Any = structlog.get_config()["processors"]
    given = [owner for each in processors if isinstance(owner := getattr(each, "__self__", None), LogRing)]
    if given or not isinstance(processors, list):
        yield given[0] if given else None
        return
    ring = LogRing()
    keep = partial(_keep_whole, ring)
    processors.insert(max(0, len(processors) - 1), keep)  # before the renderer; loggers share this list
    try:
        yield ring
    finally:
        with suppress(ValueError):  # the program has configured structlog again
            processors.remove(keep)


def _keep_whole(ring: LogRing, logger: object, method: str, fields: Fields) -> Fields:
    """Keep an event with its level and actor, whether the configuration adds them or not."""
    if method != "debug":
        whole = add_actor(logger, method, dict(fields))
        ring.add(logger, method, structlog.processors.add_log_level(logger, method, whole))
    return fields


def add_actor(_logger: object, _method: str, fields: Fields) -> Fields:
    """Add the current actor and message to an event. It is a structlog processor."""
    here = current()
    if here is not None:
        fields.setdefault("actor", here.actor)
        if here.message:
            fields.setdefault("message_type", here.message)
    return fields
