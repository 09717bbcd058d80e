"""Finds the shortest beginning of a workload that still breaks an invariant."""

from collections.abc import Callable, Sequence

from attrs import evolve

from nanoclaw.simulation.run import RunResult, run_workload
from nanoclaw.simulation.snapshot import Check
from nanoclaw.simulation.workload import Workload


def shortest(workload: Workload, invariants: Sequence[Check] = ()) -> RunResult | None:
    """Run it cut after fewer and fewer steps; the shortest one found that fails, None if none does.

    Bisected: of `n` steps it takes about `log2(n)` runs, and a step less than the one found did not fail.
    """
    return bisected(len(workload.steps), lambda steps: run_workload(workload.cut(steps), invariants))


def bisected(steps: int, played: Callable[[int], RunResult]) -> RunResult | None:
    """Bisect, where `played` runs the workload cut after so many steps.

    What breaks another invariant is another bug: it is passed over, and named in `others` of the result.
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
