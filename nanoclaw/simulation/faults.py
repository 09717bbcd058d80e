"""Faults of simulated workloads: their names and rates, and the strikes that a seed draws.

This module names and times faults; `fault_injector` injects them. Each may be given another hourly rate
(`kill-host=20`) or a moment (`kill-host@time:3600`), those of `AT_COMMITS` and `AT_STEPS` also a commit or
a step of trio's scheduler (`kill-host@commit:123`, `kill-host@step:4567`).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Literal

from attrs import evolve, field, frozen

HOUR_S = 3600.0
NEAR_S = 5.0
"""Average seconds between a message and a strike near it."""
NEAR = 0.7
"""The share of strikes near a message."""

RATES: Mapping[str, float] = {
    "kill-host": 0.8,
    "stop-host": 0.2,
    "kill-in-doubt": 0.4,
    "kill-newborn": 0.4,
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
    "session-buried": 0.4,
    "destination-renamed": 0.15,
    "no-descriptors": 0.3,
    "read-error": 0.2,
    "channel-errs": 0.4,
    "hints-raise": 0.3,
    "channel-garbles": 0.3,
    "wrong-date": 0.2,
}
"""Average strikes an hour."""
ZONES = "zones"
"""A setting, not a strike: the workload runs in a zone on a day on which its clocks change."""
NAMES: tuple[str, ...] = (*RATES, ZONES)
AT_COMMITS = ("kill-host", "kill-runner", "disk-full", "io-error")
AT_STEPS = ("kill-host", "kill-runner")
ALL, NONE = "all", "none"
HIGHEST_RATE = 3600.0
LONGEST_S = 366 * 24 * HOUR_S
DIGITS = 12
"""The maximum number of digits of a commit or step number."""
SHOWN = 60
"""The maximum number of characters of an invalid word in an error."""

Kind = Literal["commit", "step", "time"]
POINTS: Mapping[Kind, tuple[str, ...]] = {"commit": AT_COMMITS, "step": AT_STEPS, "time": tuple(RATES)}
"""The faults that may have each kind of point."""


class UnknownFault(ValueError):
    """An unknown fault, rate or point; the text lists the known ones."""


@frozen
class Point:
    """The point at which a fault must strike."""

    kind: Kind
    number: float
    """A commit from the beginning, a scheduler step after the wiring, or seconds from the beginning."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.number:.12g}"


@frozen
class Strike:
    """One strike of a fault. Its details are drawn from `draw` when it strikes."""

    at: float
    """Seconds from the beginning."""
    fault: str
    draw: int = field(repr=False)
    point: Point | None = None
    """The exact point, or None to strike near `at`."""

    @property
    def commit(self) -> int | None:
        """The commit at which it must strike, if any."""
        return int(self.point.number) if self.point is not None and self.point.kind == "commit" else None

    @property
    def step(self) -> int | None:
        """The step at which it must strike, if any."""
        return int(self.point.number) if self.point is not None and self.point.kind == "step" else None

    @property
    def now(self) -> bool:
        """True if it must strike exactly at `at`."""
        return self.point is not None and self.point.kind == "time"

    def __str__(self) -> str:
        return self.fault if self.point is None else f"{self.fault}@{self.point}"


@frozen
class FaultOption:
    """One word of `--faults`."""

    fault: str
    rate: float | None = None
    """Average strikes an hour; None: the usual rate."""
    point: Point | None = None
    """The only point at which it strikes."""


def fault_names(text: str) -> tuple[str, ...]:
    """Return the words of `--faults`, checked: `all`, `none`, or words separated by commas.

    Raises:
        UnknownFault: a word is invalid.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise UnknownFault(f"a fault is missing in {text!r}; for a run without faults use none")
    if NONE in words:
        if len(words) > 1:
            raise UnknownFault("none cannot be combined with other faults")
        return ()
    named = dict.fromkeys(word for word in words if word != ALL)
    options = [parse_fault(word) for word in named]
    rated = [each.fault for each in options if each.point is None]
    for fault in rated:
        if rated.count(fault) > 1:
            raise UnknownFault(f"{fault} is given twice")
    if ALL not in words:
        return tuple(named)
    for each in options:
        if each.rate is None and each.point is None:
            raise UnknownFault(
                f"{each.fault} is part of all; give it a rate, such as {each.fault}=10, or remove it"
            )
    return (*(name for name in NAMES if name not in rated), *named)


def parse_fault(word: str) -> FaultOption:
    """Parse `name`, `name=RATE`, `name@commit:N`, `name@step:N` or `name@time:SECONDS`.

    Raises:
        UnknownFault: the word is invalid; the text says why.
    """
    name = word.partition("@")[0].partition("=")[0]
    if name not in NAMES:
        raise UnknownFault(f"unknown fault {name!r}; known are all, none, {', '.join(NAMES)}")
    rest = word.removeprefix(name)
    if name == ZONES and rest:
        raise UnknownFault(f"{word}: zones is a setting and takes neither a rate nor a point")
    if rest.startswith("="):
        return FaultOption(
            name, rate=_number(word, rest[1:], HIGHEST_RATE, "a rate must be a number an hour")
        )
    return FaultOption(name, point=_point(word, name, rest[1:]) if rest else None)


def _point(word: str, fault: str, text: str) -> Point:
    kind, _, number = text.partition(":")
    match kind:
        case "time":
            return Point(
                "time", _number(word, number, LONGEST_S, "a time must be in seconds from the beginning")
            )
        case "commit" | "step":
            if fault not in POINTS[kind]:
                can = ", ".join(POINTS[kind])
                raise UnknownFault(f"{fault} cannot strike at a {kind}; only these can: {can}")
            short = len(number) <= DIGITS  # Python refuses to parse thousands of digits
            if not (short and number.isascii() and number.isdecimal() and int(number)):
                raise UnknownFault(
                    f"{_cut(word)!r}: a {kind} must be a number from 1, of at most {DIGITS} digits"
                )
            return Point(kind, int(number))
        case _:
            raise UnknownFault(f"{word!r}: a point must be commit:N, step:N or time:SECONDS")


def _cut(word: str) -> str:
    return word if len(word) <= SHOWN else f"{word[:SHOWN]}…"


def _number(word: str, text: str, most: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise UnknownFault(f"{word!r}: {what}, from 0 to {most:,.0f}")
    return value


def draw_strikes(
    random: Random, names: Iterable[str], hours: float, moments: Sequence[float]
) -> Iterator[Strike]:
    """Draw the strikes of this many hours. Most come soon after one of the moments."""
    options = [parse_fault(name) for name in names]
    rates = {each.fault: each.rate for each in options if each.point is None}
    for fault, usual in RATES.items():  # in a fixed order, so that the order of the names does not matter
        own = Random(random.getrandbits(64))  # noqa: S311 -- removing one fault must not change the others
        if fault in rates:
            rate = rates[fault]
            yield from _of_one(own, fault, usual if rate is None else rate, hours, moments)
    for each in options:
        if each.point is not None:
            at = each.point.number if each.point.kind == "time" else 0.0
            yield Strike(at, each.fault, random.getrandbits(32), each.point)


def _of_one(
    random: Random, fault: str, rate: float, hours: float, moments: Sequence[float]
) -> Iterator[Strike]:
    at = random.expovariate(rate) if rate else math.inf
    while at < hours:
        strike = Strike(at * HOUR_S, fault, random.getrandbits(32))
        yield _near(random, strike, moments)
        at += random.expovariate(rate)


def _near(random: Random, strike: Strike, moments: Sequence[float]) -> Strike:
    if not moments or random.random() >= NEAR:
        return strike
    return evolve(strike, at=random.choice(moments) + random.expovariate(1 / NEAR_S))
