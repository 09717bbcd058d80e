"""The plan of a round, drawn from its seed."""

from random import Random
from typing import Literal

from attrs import frozen

from nanoclaw.channels.protocol import Repeat

CHATS = ("ann", "bob", "club")
LOAD_S = 0.9
"""Users write within this time of a round's beginning."""

Kind = Literal["plain", "mid", "once", "every", "daily"]
"""The effects of a message: the agent answers, sends something before the answer, or schedules a task."""
KINDS: tuple[Kind, ...] = ("plain", "mid", "once", "every", "daily")
DAILY = "@every 86400"
"""Not `@daily`: a round shortly before midnight would wait for the next occurrence."""
WEIGHTS = (10, 8, 3, 1, 1)


@frozen
class Saying:
    """A user's message and its time, in seconds from the beginning."""

    at: float
    chat: str
    event_id: str
    kind: Kind


How = Literal["time", "before", "after", "hot", "asking", "asked"]


@frozen
class HostKill:
    """How one life of the host ends: so long after its start; `before` or `after` its n-th commit, or in one
    to an `inbound.db`, whose journal it leaves behind (`hot`); or in the middle of its n-th delivery, before
    (`asking`) or after (`asked`) the network hears of that.
    """

    how: How
    n: float


@frozen
class RunnerKill:
    """How a runner ends: so long after a start, or once the host has begun the n-th delivery of its life."""

    how: Literal["time", "delivery"]
    n: float


@frozen
class Plan:
    """A round."""

    seed: int
    repeat: Repeat
    sayings: tuple[Saying, ...]
    host_kills: tuple[HostKill, ...] = ()
    runner_kills: tuple[RunnerKill, ...] = ()
    runner_commit: str | None = None
    """`before:N`, `after:N` or `hot:N`: the commit at which a runner kills itself, once."""
    reliable: bool = False
    """True if the network always answers at once."""


def plan(seed: int, repeat: Repeat) -> Plan:
    """Draw the round of a seed."""
    random = Random(seed)
    sayings = [
        Saying(
            random.uniform(0, LOAD_S), random.choice(CHATS), f"event-{n}", random.choices(KINDS, WEIGHTS)[0]
        )
        for n in range(random.randint(10, 24))
    ]
    return Plan(
        seed,
        repeat,
        tuple(sorted(sayings, key=lambda saying: saying.at)),
        tuple(_host_kill(random) for _ in range(random.randint(1, 3))),
        tuple(_runner_kill(random) for _ in range(random.randint(1, 3))),
        random.choice((None, f"{random.choice(('before', 'after', 'hot'))}:{random.randint(1, 20)}")),
    )


def one_of_each(repeat: Repeat, host_kill: HostKill | None = None, runner_commit: str | None = None) -> Plan:
    """Return a round with one message of each kind at once and a kill at a given commit."""
    kinds: tuple[Kind, ...] = ("plain", "mid", "once", "daily")
    sayings = [Saying(0, CHATS[0], f"event-{n}", kind) for n, kind in enumerate(kinds)]
    kills = (host_kill,) if host_kill else ()
    return Plan(0, repeat, tuple(sayings), kills, runner_commit=runner_commit, reliable=True)


def _host_kill(random: Random) -> HostKill:
    how: How = random.choice(("time", "before", "after", "hot", "asking", "asked"))
    match how:
        case "time":
            return HostKill(how, random.uniform(0.05, 0.8))
        case "before" | "after" | "hot":
            return HostKill(how, random.randint(1, 50))
        case _:
            return HostKill(how, random.randint(1, 8))


def _runner_kill(random: Random) -> RunnerKill:
    if random.random() < 0.5:
        return RunnerKill("time", random.uniform(0.1, 0.7))
    return RunnerKill("delivery", random.randint(1, 8))
