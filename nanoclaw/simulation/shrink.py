"""The shortest beginning of a household's day that still breaks an invariant."""

from collections.abc import Callable, Sequence

from attrs import evolve

from nanoclaw.simulation.run import Outcome, play
from nanoclaw.simulation.snapshot import Check
from nanoclaw.simulation.workload import Household


def shortest(household: Household, invariants: Sequence[Check] = ()) -> Outcome | None:
    """Play it cut after fewer and fewer steps; the shortest one found that fails, None if none does.

    Bisected: of `n` steps it takes about `log2(n)` runs, and a step less than the one found did not fail.
    """
    return bisected(len(household.steps), lambda steps: play(household.cut(steps), invariants))


def bisected(steps: int, played: Callable[[int], Outcome]) -> Outcome | None:
    """The same, where `played` plays the day cut after so many steps.

    What breaks another invariant is another bug: it is passed over, and named in `others` of the outcome.
    """
    worst = played(steps)
    wanted, others = _broken(worst), set[str]()
    if not wanted:
        return None
    good, bad = 0, steps
    while bad - good > 1:
        middle = (good + bad) // 2
        outcome = played(middle)
        if _broken(outcome) & wanted:
            bad, worst = middle, outcome
        else:
            good = middle
            others |= _broken(outcome)
    return evolve(worst, others=tuple(sorted(others)))


def _broken(outcome: Outcome) -> set[str]:
    return {violation.invariant for violation in outcome.violations}
