"""What goes wrong in simulated households: named faults, and when each one strikes, drawn from the seed.

A fault is only named and timed here; `nanoclaw.testing.mischief` does them. Those of `AT_COMMITS` may also be
asked for by name at a chosen commit: `kill-host@commit:123`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random

from attrs import evolve, field, frozen

HOUR_S = 3600.0
NEAR_S = 5.0
"""On the average, how long after a message those strike that strike near one."""
NEAR = 0.7
"""How many of them do."""

RATES: Mapping[str, float] = {
    "kill-host": 0.8,
    "stop-host": 0.2,
    "kill-runner": 1.0,
    "stuck-runner": 0.3,
    "slow-runner": 0.3,
    "slow-disk": 0.3,
    "channel-fails": 0.6,
    "channel-times-out": 0.4,
    "channel-late": 0.2,
    "channel-duplicates": 0.6,
    "channel-reorders": 0.3,
    "channel-limits": 0.3,
    "channel-hangs": 0.2,
    "channel-disconnects": 0.4,
    "disk-full": 0.3,
    "io-error": 0.3,
    "torn-writes": 0.3,
    "clock-jumps": 0.3,
    "corrupt-inbound": 0.04,
    "corrupt-outbound": 0.06,
    "engine-gone": 0.15,
    "session-paused": 0.15,
    "destination-renamed": 0.15,
}
"""How often each one strikes in an hour, on the average."""
ZONES = "zones"
"""Not a stroke: the household lives in a zone, and at a date, where the clocks change."""
NAMES: tuple[str, ...] = (*RATES, ZONES)
AT_COMMITS = ("kill-host", "kill-runner", "disk-full", "io-error")
ALL, NONE = "all", "none"


class UnknownFault(ValueError):
    """There is no fault of that name; the text names those that there are."""


@frozen
class Blow:
    """One stroke of a fault. Its details are drawn from `draw` when it strikes."""

    at: float
    """Seconds from the beginning."""
    fault: str
    draw: int = field(repr=False)
    commit: int | None = None
    """At this commit instead, counted from the beginning."""

    def __str__(self) -> str:
        return self.fault if self.commit is None else f"{self.fault}@commit:{self.commit}"


def fault_names(text: str) -> tuple[str, ...]:
    """The faults of a command line: `all`, `none`, or names with commas between.

    Raises:
        UnknownFault: one of them is not known.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names in ([ALL], [NONE], []):
        return NAMES if names == [ALL] else ()
    for name in names:
        _check(name)
    return tuple(dict.fromkeys(names))


def _check(name: str) -> None:
    fault, at, number = name.partition("@commit:")
    if fault not in NAMES:
        raise UnknownFault(f"there is no fault {fault!r}; there are all, none, {', '.join(NAMES)}")
    if at and fault not in AT_COMMITS:
        raise UnknownFault(f"{fault} cannot strike at a commit; those that can are {', '.join(AT_COMMITS)}")
    if at and not (number.isdecimal() and int(number)):
        raise UnknownFault(f"{name!r}: a commit is a number from 1")


def blows(random: Random, names: Iterable[str], hours: float, moments: Sequence[float]) -> Iterator[Blow]:
    """When they strike within so many hours; most of them soon after one of the moments."""
    chosen = tuple(names)
    for fault in RATES:  # in this order, whatever the order of the names
        own = Random(random.getrandbits(64))  # noqa: S311 -- so that one fault less leaves the others as they are
        if fault in chosen:
            yield from _of_one(own, fault, hours, moments)
    for name in chosen:
        fault, _, commit = name.partition("@commit:")
        if commit:
            yield Blow(0.0, fault, random.getrandbits(32), int(commit))


def _of_one(random: Random, fault: str, hours: float, moments: Sequence[float]) -> Iterator[Blow]:
    at = random.expovariate(RATES[fault])
    while at < hours:
        blow = Blow(at * HOUR_S, fault, random.getrandbits(32))
        yield _near(random, blow, moments)
        at += random.expovariate(RATES[fault])


def _near(random: Random, blow: Blow, moments: Sequence[float]) -> Blow:
    if not moments or random.random() >= NEAR:
        return blow
    return evolve(blow, at=random.choice(moments) + random.expovariate(1 / NEAR_S))
