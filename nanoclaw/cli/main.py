"""The command line: its arguments, and which command they name."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from nanoclaw.cli.run import DRAIN_S, run
from nanoclaw.config import ConfigError, load_config
from nanoclaw.host import HostFailed
from nanoclaw.logs import configure_logging

CANNOT_RUN = 2
"""Exit code: the arguments, the configuration or the data keep the host from running."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(
            home=options.home,
            file=options.config,
            flags={
                "data": options.data,
                "groups": options.groups,
                "provider": options.provider,
                "runtime": options.runtime,
                "log_level": options.log_level,
            },
        )
        configure_logging(config.log_level)
        return trio.run(run, config, options.headless, options.drain)
    except (ConfigError, HostFailed) as error:
        print(f"nanoclaw: {error}", file=sys.stderr)
        return CANNOT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nanoclaw", description="A personal assistant on your own machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "run",
        help="run the host, with a prompt on a terminal",
        description="Run the host. On a terminal it shows a prompt. With a pipe each line of input is a "
        "message, and at its end the answers are waited for (exit 1: some stayed unanswered).",
    )
    serve.add_argument("--home", type=Path, metavar="DIR", help="default: $NANOCLAW_HOME or ~/.nanoclaw")
    serve.add_argument("--data", metavar="DIR", help="databases and sessions (default: <home>/data)")
    serve.add_argument("--groups", metavar="DIR", help="the agents' folders (default: <home>/groups)")
    serve.add_argument("--config", type=Path, metavar="FILE", help="default: <home>/config.toml")
    serve.add_argument("--provider", metavar="NAME", help="what answers (default: echo)")
    serve.add_argument("--runtime", metavar="NAME", help="where agents run: process")
    serve.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error (default: info)")
    serve.add_argument("--headless", action="store_true", help="no terminal: other channels only")
    serve.add_argument(
        "--drain",
        type=_seconds,
        default=DRAIN_S,
        metavar="SECONDS",
        help="with a pipe, how long to wait at its end",
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("seconds of at least 0 are wanted")
    return value
