"""The shortest beginning of a household's day that still breaks an invariant."""

from collections.abc import Callable, Sequence

from nanoclaw.testing.household import Household
from nanoclaw.testing.play import Outcome, play
from nanoclaw.testing.scene import Check


def shortest(household: Household, invariants: Sequence[Check] = ()) -> Outcome | None:
    """Play it cut after fewer and fewer steps; the shortest one found that fails, None if none does.

    Bisected: of `n` steps it takes about `log2(n)` runs, and a step less than the one found did not fail.
    """
    return bisected(len(household.steps), lambda steps: play(household.cut(steps), invariants))


def bisected(steps: int, played: Callable[[int], Outcome]) -> Outcome | None:
    """The same, where `played` plays the day cut after so many steps."""
    worst = played(steps)
    if not worst.violations:
        return None
    good, bad = 0, steps
    while bad - good > 1:
        middle = (good + bad) // 2
        outcome = played(middle)
        if outcome.violations:
            bad, worst = middle, outcome
        else:
            good = middle
    return worst
