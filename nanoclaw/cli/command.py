"""The arguments of the command line, and which command they name."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path

import trio

from nanoclaw.cli.first_run import prepare_home
from nanoclaw.cli.run import DRAIN_S, run
from nanoclaw.config import ConfigError, load_config
from nanoclaw.host import HostFailed
from nanoclaw.logs import configure_logging

CANNOT_RUN = 2
"""Exit code: the arguments, the configuration or the data keep the host from running."""
FLAGS = ("data", "groups", "provider", "runtime", "log_level")
"""Options that are keys of the configuration."""


def run_command(arguments: Sequence[str] | None) -> int:
    """Parse and run; returns the exit code."""
    if sys.stderr is None:  # closed by whoever started us
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 -- for the rest of the process
    options = _parser().parse_args(arguments)
    _show_all_text()
    try:
        return _run(options)
    except (ConfigError, HostFailed) as error:
        print(f"nanoclaw: {error}", file=sys.stderr)
        return CANNOT_RUN


def _run(options: argparse.Namespace) -> int:
    if sys.stdout is None and not options.headless:
        raise ConfigError(
            "standard output is closed, so no answer could be shown; open it, or use --headless"
        )
    at_prompt = not options.headless and _is_terminal()
    config = load_config(
        home=options.home,
        file=options.config,
        flags={flag: getattr(options, flag) for flag in FLAGS},
        defaults=_quiet() if at_prompt else {},
    )
    configure_logging(config.log_level)
    prepare_home(config, write_config=options.config is None)
    return trio.run(run, config, options.headless, at_prompt, options.drain)


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _quiet() -> Mapping[str, str]:
    """Where log lines come between the lines of the chat, only those that a person has to read."""
    return {"log_level": "warning"} if sys.stderr is not None and sys.stderr.isatty() else {}


def _show_all_text() -> None:
    """Whatever the locale, no character that an agent or a user writes is an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nanoclaw", description="A personal assistant on your own machine.")
    parser.add_argument("--version", action="version", version=f"nanoclaw {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(
        commands.add_parser(
            "run", help="run the host, with a prompt on a terminal", description=_WHAT, epilog=_HOW
        )
    )
    return parser


def _version() -> str:
    try:
        return version("nanoclaw")
    except PackageNotFoundError:
        return "(not installed)"


_WHAT = (
    "Run the host until Ctrl-C or SIGTERM. On a terminal it shows a prompt; what you type is for the "
    "agent. With a pipe, each line of input is a message; at its end the answers are waited for."
)
_HOW = (
    "Settings come from <home>/config.toml, then variables NANOCLAW_<KEY>, then these options. Exit "
    "codes: 0 all is well; 1 a message of the pipe stayed unanswered, and stderr names it; 2 the host cannot "
    "run, and stderr says why and what to do."
)


def _add_run(parser: argparse.ArgumentParser) -> None:
    places = parser.add_argument_group("where things are")
    places.add_argument("--home", type=Path, metavar="DIR", help="default: $NANOCLAW_HOME or ~/.nanoclaw")
    places.add_argument("--data", metavar="DIR", help="databases and sessions; default: <home>/data")
    places.add_argument("--groups", metavar="DIR", help="the agents' folders; default: <home>/groups")
    places.add_argument(
        "--config", type=Path, metavar="FILE", help="default: <home>/config.toml, made at the first run"
    )
    settings = parser.add_argument_group("settings")
    settings.add_argument("--provider", metavar="NAME", help="what answers; default: echo")
    settings.add_argument("--runtime", metavar="NAME", help="where agents run; default: process")
    settings.add_argument(
        "--log-level",
        metavar="LEVEL",
        help="debug, info, warning or error; default: warning at a prompt, else info",
    )
    parser.add_argument("--headless", action="store_true", help="no terminal: other channels only")
    parser.add_argument(
        "--drain",
        type=seconds,
        default=DRAIN_S,
        metavar="SECONDS",
        help=f"with a pipe, how long to wait for answers at its end; default: {DRAIN_S:g}",
    )


def seconds(text: str) -> float:
    """A duration; argparse names this function where it cannot be read."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("seconds of at least 0 are wanted")
    return value
