from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Backoff, Bury, Crashed, Policy, Stopped
from actors._policy import Restarts

STILL = Backoff(jitter=0)


def account(policy: Policy) -> Restarts:
    return Restarts("me", policy, Random(0))


def waits(policy: Policy, count: int) -> list[float | None]:
    restarts = account(policy)
    return [restarts.after(ValueError(), now=0, up_for=0) for _ in range(count)]


def test_the_back_off_grows_by_the_factor_up_to_the_ceiling() -> None:
    backoff = Backoff(first=1, factor=3, ceiling=20, jitter=0)
    assert waits(Policy(intensity=9, backoff=backoff), 5) == [1, 3, 9, 20, 20]


def test_more_crashes_than_the_intensity_within_the_period_are_too_many() -> None:
    assert waits(Policy(intensity=2, backoff=STILL), 3) == [0.1, 0.2, None]


def test_crashes_older_than_the_period_do_not_count() -> None:
    restarts = account(Policy(intensity=1, period=5, backoff=STILL))
    assert restarts.after(ValueError(), now=0, up_for=0) is not None
    assert restarts.after(ValueError(), now=5.1, up_for=0) is not None
    assert restarts.after(ValueError(), now=10.1, up_for=0) is None


def test_the_back_off_resets_after_a_whole_period_up_but_not_after_a_long_failing_start() -> None:
    restarts = account(Policy(intensity=9, period=5, backoff=STILL))
    assert restarts.after(ValueError(), now=0, up_for=0) == 0.1
    assert restarts.after(ValueError(), now=100, up_for=4.9) == 0.2
    assert restarts.after(ValueError(), now=200, up_for=5) == 0.1


def test_a_fatal_crash_is_one_too_many_even_inside_a_group() -> None:
    policy = Policy(intensity=9, fatal=(KeyError,))
    assert account(policy).after(KeyError(), now=0, up_for=0) is None
    assert account(policy).after(ExceptionGroup("", [ValueError(), KeyError()]), now=0, up_for=0) is None
    assert account(policy).after(ValueError(), now=0, up_for=0) is not None


@pytest.mark.parametrize(
    "cause",
    [
        Crashed("other"),
        Stopped("other", "buried"),
        ExceptionGroup("", [Crashed("other"), ExceptionGroup("", [Stopped("third", "stopped")])]),
    ],
)
def test_a_crash_caused_by_another_actor_backs_off_but_does_not_count(cause: Exception) -> None:
    restarts = account(Policy(intensity=0, backoff=STILL))
    assert [restarts.after(cause, now=0, up_for=0) for _ in range(3)] == [0.1, 0.2, 0.4]


@pytest.mark.parametrize("cause", [Crashed("me"), ExceptionGroup("", [Crashed("other"), ValueError()])])
def test_an_actors_own_crash_counts(cause: Exception) -> None:
    assert account(Policy(intensity=0)).after(cause, now=0, up_for=0) is None


def test_the_back_off_is_finite_after_any_number_of_crashes() -> None:
    restarts = account(Policy(backoff=STILL))
    assert [restarts.after(Crashed("other"), now=0, up_for=0) for _ in range(5000)][-1] == 30


@given(seed=st.integers(), jitter=st.floats(0, 1), count=st.integers(1, 20))
def test_jitter_stays_within_its_fraction(seed: int, jitter: float, count: int) -> None:
    restarts = Restarts("me", Policy(backoff=Backoff(jitter=jitter)), Random(seed))
    for n in range(1, count + 1):
        wait = restarts.after(Crashed("other"), now=0, up_for=0)
        plain = min(0.1 * 2.0 ** (n - 1), 30.0)
        assert wait == pytest.approx(plain, rel=jitter + 1e-9)


def test_an_invalid_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        Policy(capacity=0)
    with pytest.raises(ValueError, match="factor"):
        Backoff(factor=0.5)
    assert Bury(None).retry_after is None
