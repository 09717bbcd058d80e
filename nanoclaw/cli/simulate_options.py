"""The options of `nanoclaw simulate`."""

from pathlib import Path

from attrs import frozen

SEEDS, DAYS, SESSIONS = 20, 0.25, 5


@frozen
class SimulateOptions:
    """The options, by the names that they have on the command line."""

    seeds: int | None
    seed: int | None
    days: float
    sessions: int
    faults: str
    jobs: int | None
    timeline: Path | None
    json: bool
