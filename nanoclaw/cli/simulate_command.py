"""`nanoclaw simulate` on the command line: its options."""

import click

from nanoclaw.cli.parsing import FILE, Command, Number
from nanoclaw.cli.simulate_options import DAYS, SEEDS, SESSIONS, SimulateOptions

LONGEST_DAYS = 366.0
MOST = 1_000_000
NUMBER = Number(int, 1, MOST, f"a number of at least 1 and at most {MOST:,}")
PLAYED_DAYS = Number(float, 1e-9, LONGEST_DAYS, f"more than 0 and at most {LONGEST_DAYS:g} days")

SIMULATE = (
    "Run random workloads in virtual time: the real host and the real runner on real databases, with faults. "
    "Check that nothing is lost, nothing arrives twice, and everything keeps its order."
)
EPILOG = (
    "A seed gives the same workload on every machine. Faults are all, none, or names separated by commas. A "
    "name may have a rate per hour (kill-host=20; with all: all,kill-host=0) or a moment "
    "(kill-host@time:SECONDS). kill-host, kill-runner, disk-full and io-error may be placed at a commit "
    "(kill-host@commit:123), kill-host and kill-runner at a step of the scheduler (kill-host@step:4567). "
    "Exit codes: 0 no violation; 1 a violation: its seed, the shortest beginning that still fails and the "
    "timeline around it are printed; 2 it cannot run; 130 and 143 SIGINT and SIGTERM stopped it."
)


@click.command(
    "simulate",
    cls=Command,
    help=SIMULATE,
    short_help="run random workloads in virtual time, with faults",
    epilog=EPILOG,
)
@click.option(
    "--seeds", type=NUMBER, metavar="N", help=f"number of workloads; default: {SEEDS}, with --seed 1"
)
@click.option("--seed", type=int, metavar="S", help="the first seed; default: 0")
@click.option(
    "--days", type=PLAYED_DAYS, default=DAYS, metavar="D", help=f"length of each in days; default: {DAYS:g}"
)
@click.option(
    "--sessions",
    type=NUMBER,
    default=SESSIONS,
    metavar="N",
    help=f"sessions in each; default: {SESSIONS}",
)
@click.option("--faults", default="all", metavar="NAMES", help="faults to inject; default: all")
@click.option("--jobs", type=NUMBER, metavar="J", help="parallel processes; default: one per core")
@click.option(
    "--timeline", type=FILE, metavar="FILE", help="write one workload as an HTML page; needs --seed"
)
@click.option("--json", is_flag=True, help="print JSON, for programs")
def simulate(**values: object) -> int:
    """Run the workloads. Return the exit code."""
    from nanoclaw.cli.simulate import simulate as play  # noqa: PLC0415 -- no other command needs the simulation

    return play(SimulateOptions(**values))  # type: ignore[arg-type]  # click has converted them
