"""Finds the shortest beginning of a workload that still breaks an invariant."""

from collections.abc import Callable, Sequence

from attrs import evolve

from nanoclaw.simulation.run import RunResult, run_workload
from nanoclaw.simulation.snapshot import Check
from nanoclaw.simulation.workload import Workload


def shortest(workload: Workload, invariants: Sequence[Check] = ()) -> RunResult | None:
    """Return the result of the shortest failing beginning, or None if the whole workload does not fail.

    Bisection takes about `log2(n)` runs for `n` steps. One step less than the result does not fail.
    """
    return bisected(len(workload.steps), lambda steps: run_workload(workload.cut(steps), invariants))


def bisected(steps: int, played: Callable[[int], RunResult]) -> RunResult | None:
    """Bisect the number of steps. `played` runs the workload cut after that many steps.

    A run that breaks only other invariants counts as passing. `others` of the result names them.
    """
    worst = played(steps)
    wanted, others = _broken(worst), set[str]()
    if not wanted:
        return None
    good, bad = 0, steps
    while bad - good > 1:
        middle = (good + bad) // 2
        result = played(middle)
        if _broken(result) & wanted:
            bad, worst = middle, result
        else:
            good = middle
            others |= _broken(result)
    return evolve(worst, others=tuple(sorted(others)))


def _broken(result: RunResult) -> set[str]:
    return {violation.invariant for violation in result.violations}
