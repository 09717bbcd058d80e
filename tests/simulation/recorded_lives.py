"""Workloads in which each run of the host is recorded."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from nanoclaw.host import Host
from nanoclaw.recording import Record
from nanoclaw.recording.lines import FILE
from nanoclaw.simulation.faults import RATES
from nanoclaw.simulation.run import run_workload
from nanoclaw.simulation.workload import draw_workload
from nanoclaw.testing import World
from nanoclaw.testing.replay import replay
from nanoclaw.testing.world.timeline import Step

OF_THE_DISK = (
    "disk-full",
    "io-error",
    "torn-writes",
    "slow-disk",
    "session-buried",
    "corrupt-inbound",
    "corrupt-outbound",
)
"""Faults that a recording does not contain (docs/simulation.md)."""
FAULTS = tuple(name for name in RATES if name not in OF_THE_DISK)


def record_lives(seed: int, into: Path, *, hours: float, faults: Sequence[str] = FAULTS) -> list[Path]:
    """Run a workload; return the recordings of its host's runs, in order."""
    folders, sizes = list[Path](), dict[Path, int]()

    class RecordedWorld(World):
        async def start(self, **changes: Any) -> Host:
            folders.append(into / f"{len(folders):02}")
            self.timeline.steps.append(_size_at_death(folders[-1] / FILE, sizes))
            return await super().start(record=Record(folders[-1]), **changes)

    with patch("nanoclaw.simulation.run.World", RecordedWorld):
        run_workload(draw_workload(seed, hours=hours, faults=faults))
    for file, size in sizes.items():
        with file.open("r+b") as opened:
            opened.truncate(size)
    return [folder for folder in folders if _has_state(folder / FILE)]


def _size_at_death(file: Path, sizes: dict[Path, int]) -> Step:
    def step(event: str, _details: tuple[object, ...]) -> None:
        if event == "host killed" and file.exists():
            sizes.setdefault(file, file.stat().st_size)

    return step


def _has_state(file: Path) -> bool:
    """Return whether the host ran long enough to copy its data."""
    return file.exists() and '"Kept"' in file.read_text("ascii")


def differing(folders: Sequence[Path]) -> Iterator[str]:
    """Yield the differences of the replays."""
    for folder in folders:
        yield from (f"{folder.name}: {difference}" for difference in replay(folder).differences)
