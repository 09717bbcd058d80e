"""What a command prints, where it may be that nobody takes it: a full disk, a pipe whose reader is gone."""

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
        print(text, file=_stdout(), flush=True)


def write(text: str) -> None:
    """The same past the stream's buffer, for a thread that may be left behind: it would keep its lock."""
    with _shown():
        _put(_stdout(), text)


def tell(text: str) -> None:
    """Print to stderr what a person may want to know; where that cannot be written, nobody does."""
    with _told():
        print(text, file=sys.stderr, flush=True)


def write_aside(text: str, end: str = "\n") -> None:
    """The same past the stream's buffer."""
    with _told():
        _put(sys.stderr, text, end)


def _stdout() -> TextIO:
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
    """What is left in its buffer, and all that comes, goes nowhere: or its end would be complained about."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
