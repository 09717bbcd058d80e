"""Prints results and remarks, also where they cannot be taken: a full disk, a pipe without a reader."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from nanoclaw.config import ConfigError


def show(text: str) -> None:
    """Print a result, all of it.

    Raises:
        ConfigError: standard output cannot be written.
    """
    with _shown():
        print(text, file=stdout(), flush=True)


def write(text: str) -> None:
    """Print a result past the stream's buffer: a thread that is left behind would keep its lock."""
    with _shown():
        _put(stdout(), text)


def tell(text: str) -> None:
    """Print a remark to stderr; if that cannot be written, it is lost."""
    with _told():
        print(text, file=sys.stderr, flush=True)


def write_aside(text: str, end: str = "\n") -> None:
    """Print to stderr past the stream's buffer."""
    with _told():
        _put(sys.stderr, text, end)


def stdout() -> TextIO:
    """Return standard output.

    Raises:
        ConfigError: whoever started us has closed it.
    """
    if sys.stdout is None:
        raise ConfigError("standard output cannot be written: it is closed")
    return sys.stdout


@contextmanager
def _shown() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever reads it has seen enough (`| head`)
        forget(sys.stdout)
    except OSError as error:
        forget(sys.stdout)
        raise ConfigError(f"standard output cannot be written: {error.strerror or error}") from error


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError:
        forget(sys.stderr)


def _put(stream: TextIO | None, text: str, end: str = "\n") -> None:
    if stream is not None:  # not closed by whoever started us
        content = f"{text}{end}".encode(stream.encoding, stream.errors or "strict")
        while content:
            content = content[os.write(stream.fileno(), content) :]


def forget(stream: TextIO) -> None:
    """Drop what is in the stream's buffer and all that follows, so that Python's exit does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
