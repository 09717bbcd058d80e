"""Bisection follows the first violation and names others that it finds."""

from collections import Counter

from nanoclaw.simulation.run import RunResult, Violation
from nanoclaw.simulation.shrink import bisected
from nanoclaw.testing import Timeline


def result(steps: int, *invariants: str) -> RunResult:
    broken = tuple(Violation(name, "it is so", 1.0) for name in invariants)
    return RunResult(1, steps, 0.0, 0, 0, 0, 0, Counter(), broken, {}, Timeline())


def test_shrinking_skips_and_names_other_violations_of_a_shorter_day() -> None:
    def played(steps: int) -> RunResult:
        return result(steps, *(["mine"] if steps >= 70 else ["another"] if steps >= 30 else []))

    found = bisected(100, played)
    assert found is not None
    assert (found.steps, found.others) == (70, ("another",))
    assert [violation.invariant for violation in found.violations] == ["mine"]
