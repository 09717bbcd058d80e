"""Many households, in processes beside each other, and what came of all of them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from attrs import evolve, field, frozen

from nanoclaw.simulation.run import Outcome, Violation, play
from nanoclaw.simulation.worker_processes import Lost, Stop, Workers, workers
from nanoclaw.simulation.workload import SESSIONS, Household, household
from nanoclaw.testing.silent_logs import silence_logs
from nanoclaw.testing.world.timeline import Timeline


@frozen
class Plan:
    """What to play: which households, and what goes wrong in them."""

    seeds: tuple[int, ...]
    days: float
    faults: tuple[str, ...]
    sessions: int = SESSIONS

    @property
    def hours(self) -> float:
        """How long each of them is."""
        return self.days * 24

    def household(self, seed: int) -> Household:
        """One of them."""
        return household(seed, hours=self.hours, faults=self.faults, sessions=self.sessions)


@frozen
class Sum:
    """What came of several households."""

    seeds: int = 0
    virtual_s: float = 0.0
    messages: int = 0
    deliveries: int = 0
    commits: int = 0
    restarts: int = 0
    strokes: Counter[str] = field(factory=Counter)
    violations: tuple[tuple[int, Violation], ...] = ()
    """With their seeds."""
    missed: tuple[tuple[int, str, str], ...] = ()
    """Seed, fault, reason: of faults that were put at a point and did not strike there."""

    def and_one(self, one: Outcome) -> "Sum":
        """One more household."""
        return Sum(
            self.seeds + 1,
            self.virtual_s + one.virtual_s,
            self.messages + one.messages,
            self.deliveries + one.deliveries,
            self.commits + one.commits,
            self.restarts + one.restarts,
            self.strokes + one.strokes,
            (*self.violations, *((one.seed, violation) for violation in one.violations)),
            (*self.missed, *((one.seed, fault, why) for fault, why in one.missed)),
        )


@frozen
class Play:
    """One household of a plan, to be played; a value, so that another process can."""

    plan: Plan
    seed: int
    steps: int | None = None
    """Cut after so many."""
    drawn: bool = False
    """Whether its timeline is wanted, which is large, and can be had again."""

    def __call__(self) -> Outcome:
        """Play it, in this process."""
        household = self.plan.household(self.seed)
        outcome = play(household if self.steps is None else household.cut(self.steps))
        # Who listened to it stays behind.
        return evolve(outcome, timeline=evolve(outcome.timeline, steps=[]) if self.drawn else Timeline())


@contextmanager
def processes(most: int, stop: Stop) -> Iterator[Workers]:
    """While it is open there are processes to play in; they are silent, and gone afterwards."""
    with workers(most, stop, silence_logs) as found:
        yield found


def outcomes(found: Workers, plays: Iterable[Play]) -> Iterator[Outcome]:
    """What came of each, as they are done. A process that dies is a violation of the household it was at.

    Raises:
        Interrupted: a signal came.
    """
    for one, result in found.results(plays):
        assert isinstance(one, Play)  # noqa: S101 -- they are what they were
        yield _lost(one, result.why) if isinstance(result, Lost) else result


def _lost(one: Play, why: str) -> Outcome:
    violations = (Violation("nothing_breaks", why, 0.0),)
    return Outcome(one.seed, one.steps or 0, 0.0, 0, 0, 0, 0, Counter(), violations, {}, Timeline())


def sums(plan: Plan, found: Workers) -> Iterator[Sum]:
    """The sum so far, each time when one more household is done.

    Raises:
        Interrupted: a signal came.
    """
    total = Sum()
    for outcome in outcomes(found, [Play(plan, seed) for seed in plan.seeds]):
        total = total.and_one(outcome)
        yield total


def cores() -> int:
    """How many households are played beside each other where nobody says."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
