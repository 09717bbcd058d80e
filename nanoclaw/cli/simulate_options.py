"""The options of `nanoclaw simulate`."""

import argparse
from pathlib import Path

SEEDS, DAYS, SESSIONS = 20, 0.25, 5
LONGEST_DAYS = 366.0
MOST = 1_000_000

SIMULATE = (
    "Run days of random workloads in virtual time: the real host and the real runner on real databases, "
    "with faults everywhere; and check that nothing is lost, nothing comes twice, everything keeps its order."
)
EPILOG = (
    "One seed is one workload and one day, whatever the machine. Faults are all, none, or names with "
    "commas between. One may have a rate of its own, in an hour (kill-host=20; beside all as well: "
    "all,kill-host=0), or be put at a moment (kill-host@time:SECONDS); kill-host, kill-runner, disk-full and "
    "io-error at a commit (kill-host@commit:123); kill-host and kill-runner at a step of the scheduler "
    "(kill-host@step:4567). Exit codes: 0 nothing was violated; 1 something was, and the seed, the shortest "
    "beginning that still fails and the timeline around it are printed; 2 it cannot run; 130 and 143 SIGINT "
    "and SIGTERM stopped it."
)


def add_simulate(command: argparse.ArgumentParser) -> None:
    """Its options."""
    command.add_argument(
        "--seeds", type=_number, metavar="N", help=f"how many workloads; default: {SEEDS}, with --seed 1"
    )
    command.add_argument("--seed", type=int, metavar="S", help="the first one; default: 0")
    command.add_argument(
        "--days", type=_days, default=DAYS, metavar="D", help=f"how long each lasts; default: {DAYS:g}"
    )
    command.add_argument(
        "--sessions",
        type=_number,
        default=SESSIONS,
        metavar="N",
        help=f"conversations in each; default: {SESSIONS}",
    )
    command.add_argument("--faults", default="all", metavar="NAMES", help="what goes wrong; default: all")
    command.add_argument(
        "--jobs", type=_number, metavar="J", help="processes beside each other; default: one a core"
    )
    command.add_argument(
        "--timeline", type=Path, metavar="FILE", help="draw one workload's day as an HTML page; needs --seed"
    )
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def _number(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"a number of at least 1 and at most {MOST:,} is wanted")
    return value


def _days(text: str) -> float:
    value = float(text)
    if not 0 < value <= LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"more than 0 and at most {LONGEST_DAYS:g} days are wanted")
    return value


_number.__name__, _days.__name__ = "number", "number of days"
"""argparse names them where a text cannot be read."""
