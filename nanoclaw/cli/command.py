"""From the arguments of the command line to the command they name, and its exit code."""

import argparse
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path

import click
import trio

from nanoclaw.cli import config_commands
from nanoclaw.cli.chat import chat
from nanoclaw.cli.client import NoHost, RequestFailed, until_signal
from nanoclaw.cli.config_commands import settings_problems
from nanoclaw.cli.first_run import prepare_home
from nanoclaw.cli.logs_command import logs
from nanoclaw.cli.output import tell
from nanoclaw.cli.parser import parser
from nanoclaw.cli.run import run
from nanoclaw.cli.status import status, tree
from nanoclaw.config import Config, ConfigError, read_config
from nanoclaw.host import HostFailed
from nanoclaw.log_ring import LogRing
from nanoclaw.logs import configure_logging
from nanoclaw.recording import BadRecording, Record

CANNOT_RUN = 2
"""Exit code: the arguments, the configuration or the data keep the host from running."""
FLAGS = ("data", "groups", "provider", "runtime", "log_level")
"""Options that are keys of the configuration."""


def run_command(arguments: Sequence[str] | None) -> int:
    """Parse and run; returns the exit code."""
    if sys.stderr is None:  # closed by whoever started us
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 -- for the rest of the process
    given = sys.argv[1:] if arguments is None else [*arguments]
    if given[:1] == ["config"]:
        return _config(given[1:])
    options = parser().parse_args(given)
    _show_all_text()
    try:
        match options.command:
            case "run":
                return _run(options)
            case "simulate":
                return _simulate(options)
            case "replay":
                return _replay(options)
            case _:
                return _ask(options)
    except (ConfigError, HostFailed, NoHost, RequestFailed, BadRecording) as error:
        for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
            tell(f"nanoclaw: {problem}")
        return CANNOT_RUN


def _config(arguments: Sequence[str]) -> int:
    _show_all_text()
    try:
        code = config_commands.config.main(arguments, "nanoclaw config", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ConfigError as error:
        for problem in error.problems:
            tell(f"nanoclaw: {problem}")
        return CANNOT_RUN
    return code if isinstance(code, int) else 0


def _run(options: argparse.Namespace) -> int:
    if sys.stdout is None and not options.headless:
        raise ConfigError(
            "standard output is closed, so no answer could be shown; open it, or use --headless"
        )
    at_prompt = not options.headless and _is_terminal()
    reading = read_config(
        home=options.home,
        file=options.config,
        flags={flag: getattr(options, flag) for flag in FLAGS},
        defaults=_quiet() if at_prompt else {},
    )
    if problems := [*settings_problems(reading)]:
        raise ConfigError(*problems)
    config, ring = reading.result(), LogRing()
    configure_logging(config.log.level, ring=ring)
    reading.log()
    prepare_home(config, write_config=options.config is None)
    return trio.run(run, config, ring, options.headless, at_prompt, options.drain, _record(options))


def _record(options: argparse.Namespace) -> Record | None:
    folder = options.record or options.record_redacted
    return None if folder is None else Record(folder, redacted=options.record is None)


def _simulate(options: argparse.Namespace) -> int:
    from nanoclaw.cli.simulate import simulate  # noqa: PLC0415 -- no other command needs the simulation

    return simulate(options)


def _replay(options: argparse.Namespace) -> int:
    from nanoclaw.cli.replay import run_replay  # noqa: PLC0415 -- no other command needs the simulation

    return run_replay(options)


def _ask(options: argparse.Namespace) -> int:
    """A command that talks to the running host."""
    config = read_config(home=options.home, file=options.config, flags={"data": options.data}).result()
    return trio.run(until_signal, _asking(config, options))


def _asking(config: Config, options: argparse.Namespace) -> Callable[[], Awaitable[int]]:
    match options.command:
        case "chat":
            text = " ".join(options.text) if options.text else None
            return partial(chat, config, text, options.timeout, at_prompt=text is None and _is_terminal())
        case "status":
            return partial(status, config, as_json=options.json)
        case "tree":
            return partial(tree, config, as_json=options.json)
        case _:
            wanted = partial(logs, config, options.session, last=options.last)
            return partial(wanted, follow=options.follow, as_json=options.json)


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _quiet() -> Mapping[str, str]:
    """Where log lines come between the lines of the chat, only those that a person has to read."""
    return {"log.level": "warning"} if sys.stderr is not None and sys.stderr.isatty() else {}


def _show_all_text() -> None:
    """Whatever the locale, no character that an agent or a user writes is an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
