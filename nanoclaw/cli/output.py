"""Prints results and remarks: the one place that handles a closed or full output, or one without a reader.

A result that cannot be written ends the command: with one line if the output is closed or full, silently if
its reader is gone (`| head`). A remark that cannot be written is lost.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from nanoclaw.config import ConfigError

READER_GONE = 141
"""Exit code: the reader of the output is gone. Shells show this for a program that SIGPIPE has ended."""


class ReaderGone(Exception):
    """Nobody reads standard output any more, so the command has nothing left to do."""


def show(text: str) -> None:
    """Print a whole result.

    Raises:
        ConfigError: standard output cannot be written.
        ReaderGone: its reader has closed the pipe.
    """
    with _shown():
        print(text, file=stdout(), flush=True)


def write(text: str) -> None:
    """Print a report whose verdict is the exit code, so the command goes on if nobody reads it.

    It bypasses the stream's buffer: an abandoned thread would keep the buffer's lock.

    Raises:
        ConfigError: standard output cannot be written.
    """
    with suppress(ReaderGone), _shown():
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
    except BrokenPipeError as error:
        forget(sys.stdout)
        raise ReaderGone from error
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
