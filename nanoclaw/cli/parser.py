"""The commands and their options."""

import argparse
from pathlib import Path

from nanoclaw.cli.replay_options import REPLAY, REPLAY_CODES, add_record, add_replay
from nanoclaw.cli.simulate_options import EPILOG, SIMULATE, add_simulate
from nanoclaw.version import installed_version

DRAIN_S, TIMEOUT_S = 30.0, 120.0
LAST = 200

RUN = (
    "Run the host until Ctrl-C or SIGTERM. On a terminal it shows a prompt; what you type is for the "
    "agent. With a pipe, each line of input is a message; at its end the answers are waited for."
)
SETTINGS = (
    "Settings come from <home>/config.toml, then variables NANOCLAW_<TABLE>_<KEY>, then these options. Exit "
    "codes: 0 all is well; 1 a message of the pipe stayed unanswered, and stderr names it; 2 the host cannot "
    "run, and stderr says why and what to do."
)
CHAT = (
    "Talk to the running host in the terminal's chat. With TEXT, say it, print the replies and end. Without, "
    "on a terminal, show a prompt until Ctrl-C or Ctrl-D; with a pipe, each line of input is a message."
)
CHAT_CODES = (
    "Exit codes: 0 all is well; 1 a message stayed unanswered, and stderr names it; 2 there is no host to "
    "talk to."
)
STATUS = (
    "Print what the running host is doing: channels, living sessions, and what keeps them from their work."
)
TREE = "Print the live tree of actors of the running host."
LOGS = (
    "Print the latest log events of the running host, which keeps the last 5,000 in memory: all from info "
    "up, also where its own terminal shows less."
)


def parser() -> argparse.ArgumentParser:
    """The whole command line. `command` of its result is the name of the command."""
    top = argparse.ArgumentParser(prog="nanoclaw", description="A personal assistant on your own machine.")
    top.add_argument("--version", action="version", version=f"nanoclaw {installed_version()}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="command")
    run = commands.add_parser(
        "run", help="run the host, with a prompt on a terminal", description=RUN, epilog=SETTINGS
    )
    _add_run(run)
    chat = commands.add_parser("chat", help="talk to the running host", description=CHAT, epilog=CHAT_CODES)
    _add_chat(chat)
    for name, what, text in (
        ("status", "what the running host is doing", STATUS),
        ("tree", "its actors", TREE),
    ):
        asking = commands.add_parser(name, help=what, description=text)
        _add_places(asking)
        _add_json(asking)
    _add_logs(commands.add_parser("logs", help="its log", description=LOGS))
    commands.add_parser("config", help="the configuration: show it, check it", add_help=False)
    add_simulate(
        commands.add_parser(
            "simulate", help="days of random households in virtual time", description=SIMULATE, epilog=EPILOG
        )
    )
    replay = commands.add_parser(
        "replay", help="a recording again, in virtual time", description=REPLAY, epilog=REPLAY_CODES
    )
    add_replay(replay, seconds)
    return top


def _add_run(run: argparse.ArgumentParser) -> None:
    places = _add_places(run)
    places.add_argument("--groups", metavar="DIR", help="the agents' folders; default: <home>/groups")
    settings = run.add_argument_group("settings")
    settings.add_argument("--provider", metavar="NAME", help="what answers; default: echo")
    settings.add_argument("--runtime", metavar="NAME", help="where agents run; default: process")
    settings.add_argument(
        "--log-level",
        metavar="LEVEL",
        help="debug, info, warning or error; default: warning at a prompt, else info",
    )
    run.add_argument(
        "--headless", action="store_true", help="no terminal here: other channels, and `nanoclaw chat`"
    )
    add_record(run)
    run.add_argument(
        "--drain",
        type=seconds,
        default=DRAIN_S,
        metavar="SECONDS",
        help=f"with a pipe, how long to wait for answers at its end; default: {DRAIN_S:g}",
    )


def _add_places(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    places = command.add_argument_group("where things are")
    places.add_argument("--home", type=_home, metavar="DIR", help="default: $NANOCLAW_HOME or ~/.nanoclaw")
    places.add_argument("--data", metavar="DIR", help="databases and sessions; default: <home>/data")
    places.add_argument(
        "--config", type=Path, metavar="FILE", help="default: <home>/config.toml, made at the first run"
    )
    return places


def _add_chat(chat: argparse.ArgumentParser) -> None:
    chat.add_argument("text", nargs="*", metavar="TEXT", help="one message; words are joined")
    chat.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help=f"how long to wait for answers; default: {TIMEOUT_S:g}",
    )
    _add_places(chat)


def _add_logs(logs: argparse.ArgumentParser) -> None:
    logs.add_argument("session", nargs="?", metavar="SESSION", help="only of sessions whose id begins so")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with events as they come")
    logs.add_argument(
        "-n", "--last", type=count, default=LAST, metavar="N", help=f"begin with the last N; default: {LAST}"
    )
    _add_places(logs)
    _add_json(logs)


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def seconds(text: str) -> float:
    """A duration; argparse names this function where it cannot be read."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("seconds of at least 0 are wanted")
    return value


def _home(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a directory is wanted")
    return Path(text)


def count(text: str) -> int:
    """A number of things; argparse names this function where it cannot be read."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("a number of at least 0 is wanted")
    return value
