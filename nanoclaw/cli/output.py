"""Prints results and remarks, and handles a full disk and a pipe without a reader."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from nanoclaw.config import ConfigError


def show(text: str) -> None:
    """Print a whole result.

    Raises:
        ConfigError: standard output cannot be written.
    """
    with _shown():
        print(text, file=stdout(), flush=True)


def write(text: str) -> None:
    """Print a result, bypassing the stream's buffer: an abandoned thread would keep the buffer's lock."""
    with _shown():
        _put(stdout(), text)


def tell(text: str) -> None:
    """Print a remark to stderr; if that cannot be written, it is lost."""
    with _told():
        print(text, file=sys.stderr, flush=True)


def write_aside(text: str, end: str = "\n") -> None:
    """Print to stderr, bypassing the stream's buffer."""
    with _told():
        _put(sys.stderr, text, end)


def stdout() -> TextIO:
    """Return standard output.

    Raises:
        ConfigError: the parent process closed it.
    """
    if sys.stdout is None:
        raise ConfigError("standard output cannot be written: it is closed")
    return sys.stdout


@contextmanager
def _shown() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader has closed the pipe (`| head`)
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
    if stream is not None:  # the parent process did not close it
        content = f"{text}{end}".encode(stream.encoding, stream.errors or "strict")
        while content:
            content = content[os.write(stream.fileno(), content) :]


def forget(stream: TextIO) -> None:
    """Discard the stream's buffer and later output, so that Python's exit reports no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
