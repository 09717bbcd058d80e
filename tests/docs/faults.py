"""The generated part of docs/simulation.md: the faults, as the fault table has them.

    python -m tests.docs.faults --write

rewrites it; without `--write` it only says whether it is out of date.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nanoclaw.simulation.fault_table import FAULTS
from nanoclaw.simulation.faults import RATES, ZONES
from tests.docs.configuration import BLOCK

PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"


def faults() -> Iterator[str]:
    """Return the rows, in the order in which `--faults` lists the names."""
    yield "| fault | an hour | what it does |"
    yield "|---|---|---|"
    for name, rate in RATES.items():
        yield f"| `{name}` | {rate:g} | {' '.join((FAULTS[name].__doc__ or '').split())} |"
    yield f"| `{ZONES}` | | Run the whole workload in a zone on a day on which its clocks change. |"


def up_to_date(text: str) -> str:
    """Return the page with an up-to-date block."""
    return BLOCK.sub(lambda block: f"{block[1]}{chr(10).join(faults())}\n{block[3]}", text)


def main(arguments: Sequence[str]) -> str | None:
    text = PAGE.read_text("utf-8")
    wanted = up_to_date(text)
    if list(arguments) == ["--write"]:
        PAGE.write_text(wanted, "utf-8")
    elif text != wanted:
        return "docs/simulation.md is out of date; run `make docs`"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
