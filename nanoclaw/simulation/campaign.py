"""A campaign: many workloads, run in parallel processes, and their totals."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from attrs import evolve, field, frozen

from nanoclaw.simulation.run import RunResult, Violation, run_workload
from nanoclaw.simulation.worker_processes import Lost, Stop, Workers, workers
from nanoclaw.simulation.workload import SESSIONS, Workload, draw_workload
from nanoclaw.testing.silent_logs import silence_logs
from nanoclaw.testing.world.timeline import Timeline


@frozen
class CampaignPlan:
    """The workloads of a campaign and their faults."""

    seeds: tuple[int, ...]
    days: float
    faults: tuple[str, ...]
    sessions: int = SESSIONS

    @property
    def hours(self) -> float:
        """The length of each workload."""
        return self.days * 24

    def workload(self, seed: int) -> Workload:
        """Return the workload of a seed."""
        return draw_workload(seed, hours=self.hours, faults=self.faults, sessions=self.sessions)


@frozen
class Totals:
    """The totals of several workloads."""

    seeds: int = 0
    virtual_s: float = 0.0
    messages: int = 0
    deliveries: int = 0
    commits: int = 0
    restarts: int = 0
    strikes: Counter[str] = field(factory=Counter)
    violations: tuple[tuple[int, Violation], ...] = ()
    """With their seeds."""
    missed: tuple[tuple[int, str, str], ...] = ()
    """Seed, fault, reason: of faults that were put at a point and did not strike there."""

    def and_one(self, one: RunResult) -> "Totals":
        """Return the totals with one more result."""
        return Totals(
            self.seeds + 1,
            self.virtual_s + one.virtual_s,
            self.messages + one.messages,
            self.deliveries + one.deliveries,
            self.commits + one.commits,
            self.restarts + one.restarts,
            self.strikes + one.strikes,
            (*self.violations, *((one.seed, violation) for violation in one.violations)),
            (*self.missed, *((one.seed, fault, why) for fault, why in one.missed)),
        )


@frozen
class SeedRun:
    """One workload of a plan: a value that a worker process can play."""

    plan: CampaignPlan
    seed: int
    steps: int | None = None
    """The number of steps to play; None plays all."""
    drawn: bool = False
    """True if the result keeps its timeline, which is large."""

    def __call__(self) -> RunResult:
        """Run it, in this process."""
        workload = self.plan.workload(self.seed)
        result = run_workload(workload if self.steps is None else workload.cut(self.steps))
        # The listeners cannot be pickled.
        return evolve(result, timeline=evolve(result.timeline, steps=[]) if self.drawn else Timeline())


@contextmanager
def processes(most: int, stop: Stop) -> Iterator[Workers]:
    """Provide silent worker processes while the block runs."""
    with workers(most, stop, silence_logs) as found:
        yield found


def results(found: Workers, plays: Iterable[SeedRun]) -> Iterator[RunResult]:
    """Yield each result as it comes. A process that dies is a violation of its workload.

    Raises:
        Interrupted: SIGINT or SIGTERM was received.
    """
    for one, result in found.results(plays):
        assert isinstance(one, SeedRun)  # noqa: S101 -- only `SeedRun` values are passed in
        yield _lost(one, result.why) if isinstance(result, Lost) else result


def _lost(one: SeedRun, why: str) -> RunResult:
    violations = (Violation("nothing_breaks", why, 0.0),)
    return RunResult(one.seed, one.steps or 0, 0.0, 0, 0, 0, 0, Counter(), violations, {}, Timeline())


def totals(plan: CampaignPlan, found: Workers) -> Iterator[Totals]:
    """Yield the totals so far after each workload.

    Raises:
        Interrupted: SIGINT or SIGTERM was received.
    """
    total = Totals()
    for result in results(found, [SeedRun(plan, seed) for seed in plan.seeds]):
        total = total.and_one(result)
        yield total


def cores() -> int:
    """Return the default number of parallel workloads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
