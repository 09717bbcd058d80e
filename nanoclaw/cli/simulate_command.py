"""`nanoclaw simulate` on the command line: its options."""

import click

from nanoclaw.cli.parsing import FILE, Command, Number
from nanoclaw.cli.simulate_options import DAYS, SEEDS, SESSIONS, SimulateOptions

LONGEST_DAYS = 366.0
MOST = 1_000_000
NUMBER = Number(int, 1, MOST, f"a number of at least 1 and at most {MOST:,}")
PLAYED_DAYS = Number(float, 1e-9, LONGEST_DAYS, f"more than 0 and at most {LONGEST_DAYS:g} days")

SIMULATE = (
    "Play days of random households in virtual time: the real host and the real runner on real databases, "
    "with faults everywhere; and check that nothing is lost, nothing comes twice, everything keeps its order."
)
EPILOG = (
    "One seed is one household and one day, whatever the machine. Faults are all, none, or names with "
    "commas between. One may have a rate of its own, in an hour (kill-host=20; beside all as well: "
    "all,kill-host=0), or be put at a moment (kill-host@time:SECONDS); kill-host, kill-runner, disk-full and "
    "io-error at a commit (kill-host@commit:123); kill-host and kill-runner at a step of the scheduler "
    "(kill-host@step:4567). Exit codes: 0 nothing was violated; 1 something was, and the seed, the shortest "
    "beginning that still fails and the timeline around it are printed; 2 it cannot run; 130 and 143 SIGINT "
    "and SIGTERM stopped it."
)


@click.command(
    "simulate",
    cls=Command,
    help=SIMULATE,
    short_help="days of random households in virtual time",
    epilog=EPILOG,
)
@click.option(
    "--seeds", type=NUMBER, metavar="N", help=f"how many households; default: {SEEDS}, with --seed 1"
)
@click.option("--seed", type=int, metavar="S", help="the first one; default: 0")
@click.option(
    "--days", type=PLAYED_DAYS, default=DAYS, metavar="D", help=f"how long each lasts; default: {DAYS:g}"
)
@click.option(
    "--sessions",
    type=NUMBER,
    default=SESSIONS,
    metavar="N",
    help=f"conversations in each; default: {SESSIONS}",
)
@click.option("--faults", default="all", metavar="NAMES", help="what goes wrong; default: all")
@click.option("--jobs", type=NUMBER, metavar="J", help="processes beside each other; default: one a core")
@click.option(
    "--timeline", type=FILE, metavar="FILE", help="draw one household's day as an HTML page; needs --seed"
)
@click.option("--json", is_flag=True, help="print JSON, for programs")
def simulate(**values: object) -> int:
    """Play; returns the exit code."""
    from nanoclaw.cli.simulate import simulate as play  # noqa: PLC0415 -- no other command needs the simulation

    return play(SimulateOptions(**values))  # type: ignore[arg-type]  # click has converted them
