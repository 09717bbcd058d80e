"""Parsing of the command line, and the exit code of the command that it names."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

import click

from nanoclaw.cli.bash import completed_line
from nanoclaw.cli.client import NoHost, RequestFailed
from nanoclaw.cli.output import READER_GONE, ReaderGone, tell
from nanoclaw.cli.parsing import BAD_USAGE, usage_error
from nanoclaw.cli.root import nanoclaw
from nanoclaw.cli.run_command import FLAGS
from nanoclaw.config import ConfigError

__all__ = ["FLAGS", "run_command"]

CANNOT_RUN = 2
"""Exit code: the arguments, the configuration or the data keep the command from running."""
COMPLETE = "_NANOCLAW_COMPLETE"
"""The variable by which a shell asks for completions."""


def run_command(arguments: Sequence[str] | None) -> int:
    """Parse and run; returns the exit code. Raises SystemExit for help and for wrong usage."""
    if sys.stderr is None:  # the parent process closed it
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 -- for the rest of the process
    _show_all_text()
    if COMPLETE in os.environ and arguments is None:
        with suppress(ConfigError, ReaderGone):  # a shell that completes shows no errors
            return completed_line(nanoclaw, "nanoclaw", COMPLETE, os.environ[COMPLETE])
        return CANNOT_RUN
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except ReaderGone:
        return READER_GONE
    except (ConfigError, NoHost, RequestFailed) as error:
        for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
            tell(f"nanoclaw: {problem}")
        return CANNOT_RUN


def _run(arguments: list[str]) -> int:
    try:
        with nanoclaw.make_context("nanoclaw", arguments) as context:
            code = nanoclaw.invoke(context)
            return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        raise SystemExit(end.exit_code) from None
    except click.UsageError as error:
        tell(usage_error(error))
        raise SystemExit(BAD_USAGE) from None


def _show_all_text() -> None:
    """Make output accept every character of agents and users, whatever the locale."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
