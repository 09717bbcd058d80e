"""The generated part of docs/simulation.md: the faults, as the fault table has them.

    python -m tests.docs.faults --write

rewrites it; without `--write` it only says whether it is out of date.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from nanoclaw.simulation.fault_table import FAULTS
from nanoclaw.simulation.faults import RATES, ZONES
from tests.docs.configuration import BLOCK
from tests.docs.generated import write_or_compare

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


if __name__ == "__main__":
    sys.exit(write_or_compare(PAGE, up_to_date(PAGE.read_text("utf-8")), sys.argv[1:]))
