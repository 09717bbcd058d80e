"""The options of `nanoclaw replay`, and those of `nanoclaw run` that record."""

import argparse
from collections.abc import Callable
from pathlib import Path

REPLAY = (
    "Run a recording (`nanoclaw run --record DIR`) again, in virtual time and on a copy of its data: print "
    "what happens, and where the host does not do what it did then."
)
REPLAY_CODES = (
    "Exit codes: 0 the host does what it did; 1 it does not, and the differences are printed; 2 the "
    "recording cannot be read."
)


def add_replay(command: argparse.ArgumentParser, moment: Callable[[str], float]) -> None:
    """Its options; `moment` reads seconds."""
    command.add_argument("folder", type=Path, metavar="DIR", help="the recording")
    command.add_argument(
        "--until", type=moment, metavar="SECONDS", help="end so long after the beginning; default: at its end"
    )
    command.add_argument(
        "--timeline", type=Path, metavar="FILE", help="write what happens there, not to standard output"
    )
    command.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="show the host's log; default: none",
    )
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_record(run: argparse.ArgumentParser) -> None:
    """What `run` has for it."""
    group = run.add_argument_group("recording, to be replayed with `nanoclaw replay`")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--record",
        type=_folder,
        metavar="DIR",
        help="record what comes in, in a new folder; it contains all messages",
    )
    either.add_argument(
        "--record-redacted",
        type=_folder,
        metavar="DIR",
        help="the same, with an x for each character that people and agents write; names and ids stay",
    )


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a folder is wanted, new or empty")
    return Path(text)
