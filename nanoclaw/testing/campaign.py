"""Many households, in processes beside each other, and what came of all of them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context

import structlog
from attrs import evolve, field, frozen

from nanoclaw.testing.household import SESSIONS, Household, household
from nanoclaw.testing.play import Outcome, Violation, play
from nanoclaw.testing.timeline import Timeline


@frozen
class Plan:
    """What to play: which households, and what goes wrong in them."""

    seeds: tuple[int, ...]
    hours: float
    faults: tuple[str, ...]
    sessions: int = SESSIONS

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
        )


def sums(plan: Plan, jobs: int) -> Iterator[Sum]:
    """The sum so far, each time when one more household is done."""
    total = Sum()
    for outcome in _outcomes(plan, jobs):
        total = total.and_one(outcome)
        yield total


def _outcomes(plan: Plan, jobs: int) -> Iterator[Outcome]:
    if jobs == 1 or len(plan.seeds) == 1:
        with quiet():
            yield from (_play_one(plan, seed) for seed in plan.seeds)
        return
    # Not forked: what this process has open and runs is none of theirs.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=be_quiet) as pool:
        try:
            yield from _as_done(pool.submit(_play_one, plan, seed) for seed in plan.seeds)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _as_done(futures: Iterable[Future[Outcome]]) -> Iterator[Outcome]:
    for future in as_completed(list(futures)):
        yield future.result()


def _play_one(plan: Plan, seed: int) -> Outcome:
    """Without its timeline, which is large, and can be had again."""
    return evolve(play(plan.household(seed)), timeline=Timeline())


def cores() -> int:
    """How many households are played beside each other where nobody says."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def quiet() -> Iterator[None]:
    """While it is open nothing is logged: what goes wrong in a simulation is meant to."""
    before = structlog.get_config()
    be_quiet()
    try:
        yield
    finally:
        structlog.configure(**before)


def be_quiet() -> None:
    """Log nothing in this process."""
    structlog.configure(
        processors=[_drop],
        wrapper_class=structlog.make_filtering_bound_logger(50),
        cache_logger_on_first_use=False,  # or a logger first used now would be silent for ever
    )


def _drop(_logger: object, _method: str, _fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    raise structlog.DropEvent
