"""`nanoclaw replay` on the command line: its options."""

from pathlib import Path

import click
from attrs import frozen

from nanoclaw.cli.output import tell
from nanoclaw.cli.parsing import BAD_USAGE, FILE, SECONDS, Command, DescribedArgument

REPLAY = (
    "Run a recording (`nanoclaw run --record DIR`) again, in virtual time and on a copy of its data: print "
    "what happens, and where the host does not do what it did then."
)
REPLAY_CODES = (
    "Exit codes: 0 the host does what it did; 1 it does not, and the differences are printed; 2 the "
    "recording cannot be read."
)


@frozen
class ReplayOptions:
    """The options, by the names that they have on the command line."""

    folder: Path
    until: float | None
    timeline: Path | None
    log_level: str | None
    json: bool


@click.command(
    "replay", cls=Command, help=REPLAY, short_help="a recording again, in virtual time", epilog=REPLAY_CODES
)
@click.argument("folder", cls=DescribedArgument, type=FILE, metavar="DIR", help="the recording")
@click.option(
    "--until", type=SECONDS, metavar="SECONDS", help="end so long after the beginning; default: at its end"
)
@click.option(
    "--timeline", type=FILE, metavar="FILE", help="write what happens there, not to standard output"
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="show the host's log; default: none",
)
@click.option("--json", is_flag=True, help="print JSON, for programs")
def replay(**values: object) -> int:
    """Replay; returns the exit code."""
    from nanoclaw.cli.replay import run_replay  # noqa: PLC0415 -- no other command needs the simulation
    from nanoclaw.recording import BadRecording  # noqa: PLC0415

    try:
        return run_replay(ReplayOptions(**values))  # type: ignore[arg-type]  # click has converted them
    except BadRecording as error:
        tell(f"nanoclaw: {error}")
        return BAD_USAGE
