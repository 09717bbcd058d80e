"""Workloads: users, chats, agents and what they do for some hours, drawn from one seed.

Everything is drawn before the run, so a workload is a value. Cut after `n` steps, it is the same
workload with fewer steps. Each message contains the commands for the agent (`scripted_agent`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from attrs import evolve, field, frozen

from nanoclaw.channels.protocol import Repeat
from nanoclaw.records import SessionMode, UnknownSenderPolicy
from nanoclaw.simulation.faults import Strike, draw_strikes
from nanoclaw.simulation.other_events import OtherEvent, Said, draw_calls, draw_deletions, draw_reactions
from nanoclaw.simulation.people import EXPIRE_S, Change, draw_changes

HOUR_S = 3600.0
SESSIONS = 5
PACE_PER_HOUR = 2.0
"""Average messages an hour of one conversation."""
LARGEST_FILE = 3000
HALF = 0.5
SOON, SOON_S = 0.6, 20.0
"""The share of messages that follow soon after another, and the average gap."""
WITH_FILES = 0.1
WITH_QUESTIONS, RENEWING = 0.08, 0.3
EDITED, EDITED_S = 0.05, 30.0
"""The share of messages that are edited later, and the average delay."""
EDITED_VISITS, WITH_LETTERS = 0.2, 0.06
"""The share of visitors' messages that are edited; of messages that have an agent write to another."""
AGENT_SHARED, MENTION_ONLY, CALLED = 0.5, 0.3, 0.2
EVEN = r"#\d*[02468]\b"
"""A trigger pattern that every other message matches."""
CLOSED = 0.5
"""The share of chats that admit only known users."""
VISITS_PER_HOUR = 0.5
"""Average messages an hour of visitors in a closed group. Public groups get a third."""

PEOPLE = ("ann", "bob", "cleo", "dan", "eve", "finn", "gil", "hana")
VISITORS = ("xenia", "yuri", "zoe")
"""Users who are not admitted in the beginning."""
LOBBIES = ("lobby-1", "lobby-2")
"""Groups that no agent is wired to in the beginning."""
UNKNOWN_PER_HOUR, WITH_REQUESTS = 0.2, 0.05
"""Average messages an hour in each chat without an agent; the share of messages that ask for an agent."""
CLOSING: tuple[UnknownSenderPolicy, ...] = ("strict", "request_approval")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
REPEATS: tuple[Repeat, ...] = ("idempotent", "look up", "again", "never")
DAY_S = 86_400.0
CATCH_UPS = ("", "", "", ";catch_up=all", ";catch_up=none")


@frozen
class ClockChange:
    """A zone, a date three hours before its clocks change, and the repeated or skipped times."""

    zone: str
    before: datetime
    hour: int = 2
    minutes: tuple[int, int] = (0, 59)


CHANGES = (
    ClockChange("UTC", NEW_YEAR),
    ClockChange("UTC", datetime(2028, 2, 28, 22, tzinfo=UTC)),
    ClockChange("Asia/Kolkata", NEW_YEAR),
    ClockChange("Europe/Berlin", datetime(2026, 3, 28, 22, tzinfo=UTC)),
    ClockChange("Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC)),
    ClockChange("America/New_York", datetime(2026, 3, 8, 4, tzinfo=UTC)),
    ClockChange("America/New_York", datetime(2026, 11, 1, 3, tzinfo=UTC), hour=1),
    ClockChange("America/St_Johns", datetime(2026, 3, 8, 2, 30, tzinfo=UTC)),
    ClockChange("America/St_Johns", datetime(2026, 11, 1, 1, 30, tzinfo=UTC), hour=1),
    ClockChange("Australia/Lord_Howe", datetime(2026, 4, 4, 12, tzinfo=UTC), hour=1, minutes=(30, 59)),
    ClockChange("Australia/Lord_Howe", datetime(2026, 10, 3, 12, 30, tzinfo=UTC), minutes=(0, 29)),
)
"""Clock changes. In the first three zones no clock changes."""


@frozen
class Say:
    """A message that a user sends. `text` begins with a word that no other message has."""

    at: float
    """Seconds from the beginning; later if the user's previous message is not confirmed by then."""
    user: str
    chat: str
    thread: str | None
    text: str
    mention: bool = False
    files: Mapping[str, bytes] = field(factory=dict, repr=False)
    instead_of: str | None = None
    """For an edit, the text that it replaces."""

    def __str__(self) -> str:
        where = f"{self.chat}/{self.thread}" if self.thread else self.chat
        verb = "says" if self.instead_of is None else "edits"
        return f"{self.user} {verb} in {where}: {self.text}"


Step = Say | Strike | Change | OtherEvent


@frozen
class PlannedChat:
    """A chat, its users, and its agent."""

    name: str
    users: tuple[str, ...]
    agent: str
    threads: tuple[str | None, ...] = (None,)
    session_mode: SessionMode = "shared"
    mention_only: bool = False
    """True if messages that do not mention the agent are context only."""
    pattern: str = ""
    """The trigger pattern, if any."""
    policy: UnknownSenderPolicy = "public"
    """If it is not public, its users are members of the agent, the first of them an admin."""

    @property
    def is_group(self) -> bool:
        """True if it is not a user's own chat."""
        return self.name not in self.users

    @property
    def pace(self) -> float:
        """Average messages an hour of each conversation: twice as many in an agent-shared session."""
        return PACE_PER_HOUR * (2 if self.session_mode == "agent-shared" else 1)

    @property
    def trigger_rules(self) -> Mapping[str, object]:
        """The trigger rules of its wiring."""
        if not self.mention_only and not self.pattern:
            return {}
        which = {"mentionOnly": True} if self.mention_only else {"pattern": self.pattern}
        return {**which, "ignored": "accumulate"}


@frozen
class Workload:
    """The workload of one seed."""

    seed: int
    hours: float
    chats: tuple[PlannedChat, ...]
    steps: tuple[Step, ...] = field(repr=False)
    """In order of time."""
    zone: str
    began: datetime
    repeat: Repeat
    outliving: bool
    settings: Mapping[str, Any]
    modelled: frozenset[str] = frozenset()
    """The agents that ask a scripted model by the real agent loop. The others are `scripted_agent`."""

    def cut(self, steps: int) -> "Workload":
        """Return the same workload, cut after so many steps."""
        return evolve(self, steps=self.steps[:steps])

    @property
    def ends_at(self) -> float:
        """The moment of the last step, in seconds from the beginning."""
        return self.steps[-1].at if self.steps else 0.0


def draw_workload(
    seed: int, *, hours: float = 6.0, faults: Sequence[str] = (), sessions: int = SESSIONS
) -> Workload:
    """Draw a workload. `faults` are words of `--faults`. They do not change the messages."""
    random = Random(f"household {seed}")  # noqa: S311 -- a simulation has no secrets
    policies = Random(f"doors {seed}")  # noqa: S311 -- a simulation has no secrets
    chats = tuple(_with_policies(policies, _draw_chats(random, sessions)))
    where = Random(f"zone {seed}")  # noqa: S311 -- a simulation has no secrets
    change = where.choice(CHANGES)
    asking = Random(f"questions {seed}")  # noqa: S311 -- a simulation has no secrets
    said = list(_with_questions(asking, _says(random, chats, hours * HOUR_S, change)))
    renewing = Random(f"renewing {seed}")  # noqa: S311 -- a simulation has no secrets
    said = [evolve(say, text=f"{say.text} renew") if renewing.random() < RENEWING else say for say in said]
    said = list(_with_requests(Random(f"requests {seed}"), said))  # noqa: S311 -- a simulation has no secrets
    said = list(_shuffled(Random(f"words {seed}"), said))  # noqa: S311 -- a simulation has no secrets
    said = list(_with_letters(Random(f"letters {seed}"), chats, said))  # noqa: S311 -- a simulation has no secrets
    edits = _edits(Random(f"edits {seed}"), said)  # noqa: S311 -- a simulation has no secrets
    says = sorted([*said, *edits], key=lambda say: say.at)
    moments = [say.at for say in says]
    strikes = draw_strikes(Random(f"faults {seed}"), faults, hours, moments)  # noqa: S311 -- a simulation has no secrets
    visits = list(_visits(policies, chats, hours * HOUR_S, len(said) + 1))
    visits += list(_edits(Random(f"edits of visitors {seed}"), visits, EDITED_VISITS))  # noqa: S311 -- a simulation has no secrets
    unknown = _unknown_chats(Random(f"unknown chats {seed}"), hours * HOUR_S)  # noqa: S311 -- a simulation has no secrets
    changes = draw_changes(Random(f"rights {seed}"), hours * HOUR_S)  # noqa: S311 -- a simulation has no secrets
    others = _other_events(seed, chats, [*says, *visits], hours)
    drawn: list[Step] = [*says, *visits, *unknown, *strikes, *changes, *others]
    steps = sorted(drawn, key=lambda step: step.at)
    zoned = "zones" in faults
    return Workload(
        seed,
        hours,
        chats,
        tuple(steps),
        zone=change.zone if zoned else "UTC",
        began=change.before + timedelta(seconds=where.uniform(0, 7200)) if zoned else NEW_YEAR,
        repeat=random.choice(REPEATS),
        outliving=random.random() < HALF,
        settings={**_settings(random), **_limits(Random(f"limits {seed}"))},  # noqa: S311 -- a simulation has no secrets
        modelled=frozenset(_modelled(Random(f"models {seed}"), chats)),  # noqa: S311 -- a simulation has no secrets
    )


def _modelled(random: Random, chats: Sequence[PlannedChat]) -> Iterator[str]:
    agents = dict.fromkeys(planned.agent for planned in chats)
    yield from (agent for agent in agents if random.random() < HALF)


def _settings(random: Random) -> Mapping[str, Any]:
    return {
        "retry.base_s": random.choice((1.0, 5.0)),
        "delivery.backoff_s": random.choice(((5.0, 15.0, 45.0, 120.0, 300.0), (1.0,) * 8)),
        "runtime.idle_s": random.choice((60.0, 900.0)),
        "approvals.expire_s": EXPIRE_S,
        "retention.acks_s": random.choice((1800.0, 7 * DAY_S)),
    }


def _limits(random: Random) -> Mapping[str, Any]:
    """Draw limits of conversations between agents, which answer each other until they are cut."""
    return {"agents.max_hops": random.choice((1, 2, 4)), "agents.max_a_minute": random.choice((3, 20))}


# -- who is there --------------------------------------------------------------


def _draw_chats(random: Random, sessions: int) -> Iterator[PlannedChat]:
    """Chats that come to so many sessions: people's own, and groups with and without threads."""
    people = random.sample(PEOPLE, len(PEOPLE))
    agent_shared = sessions > 1 and random.random() < AGENT_SHARED
    if agent_shared:
        yield PlannedChat("group-a", tuple(random.sample(people, 2)), "shared", session_mode="agent-shared")
        yield PlannedChat("group-b", tuple(random.sample(people, 2)), "shared", session_mode="agent-shared")
    agents = ["main"] if random.random() < HALF else ["main", "helper"]
    left, n = sessions - agent_shared, 0
    while left:
        agent = random.choice(agents)
        if left >= 2 and n % 3 == 2:  # noqa: PLR2004 -- every third is a group with threads
            threads = tuple(f"thread-{k + 1}" for k in range(min(left, random.choice((2, 2, 3)))))
            yield PlannedChat(f"group-{n}", tuple(random.sample(people, 3)), agent, threads, "per-thread")
            left -= len(threads)
        else:
            name = people[n % len(people)] if n < len(people) and n % 3 == 0 else f"group-{n}"
            users = (name,) if name in people else tuple(random.sample(people, 2))
            which = random.random() if name not in people else 1.0
            pattern = EVEN if MENTION_ONLY <= which < MENTION_ONLY + CALLED else ""
            yield PlannedChat(name, users, agent, mention_only=which < MENTION_ONLY, pattern=pattern)
            left -= 1
        n += 1


def _with_policies(random: Random, chats: Iterator[PlannedChat]) -> Iterator[PlannedChat]:
    """Close some of the chats to unknown users."""
    for planned in chats:
        closed = random.random() < CLOSED
        yield evolve(planned, policy=random.choice(CLOSING) if closed else "public")


# -- messages --------------------------------------------------------------


def _says(
    random: Random, chats: Sequence[PlannedChat], length_s: float, change: ClockChange
) -> Iterator[Say]:
    number = 0
    for planned in chats:
        for thread in planned.threads:
            for at in _moments(random, length_s, planned.pace):
                number += 1
                commands = _commands(random, planned, chats, change)
                files = _files(random, number)
                text = " ".join([f"#{number}", *commands])
                mention = random.random() < HALF
                yield Say(at, random.choice(planned.users), planned.name, thread, text, mention, files)


def _moments(random: Random, length_s: float, pace: float) -> Iterator[float]:
    """Yield the times of messages, in bursts."""
    at = random.expovariate(pace / HOUR_S)
    while at < length_s:
        yield at
        gap = 3 * HOUR_S / pace
        at += random.expovariate(1 / SOON_S) if random.random() < SOON else random.expovariate(1 / gap)


def _visits(random: Random, chats: Sequence[PlannedChat], length_s: float, number: int) -> Iterator[Say]:
    """Let visitors write in groups."""
    for planned in chats:
        pace = VISITS_PER_HOUR / HOUR_S / (3 if planned.policy == "public" else 1)
        at = random.expovariate(pace) if planned.is_group else length_s
        while at < length_s:
            text, mention = f"#{number} hello", random.random() < HALF
            user, thread = random.choice(VISITORS), random.choice(planned.threads)
            yield Say(at, user, planned.name, thread, text, mention)
            at, number = at + random.expovariate(pace), number + 1


def _unknown_chats(random: Random, length_s: float) -> Iterator[Say]:
    """Let visitors address the assistant in chats that no agent is wired to: their own, and groups."""
    number = 0
    for chat in (*VISITORS, *LOBBIES):
        at = random.expovariate(UNKNOWN_PER_HOUR / HOUR_S)
        while at < length_s:
            number += 1
            user = chat if chat in VISITORS else random.choice(VISITORS)
            yield Say(at, user, chat, None, f"#unknown-{number} hello", mention=True)
            at += random.expovariate(UNKNOWN_PER_HOUR / HOUR_S)


def _with_requests(random: Random, says: Iterable[Say]) -> Iterator[Say]:
    """Let some messages have the agent ask for another agent. Some ask for the same one."""
    for say in says:
        asks = f" create=Cook-{random.randrange(3)}" if random.random() < WITH_REQUESTS else ""
        yield evolve(say, text=f"{say.text}{asks}")


def _shuffled(random: Random, says: Iterable[Say]) -> Iterator[Say]:
    """Shuffle the commands in each message, so that a failing command comes at any place."""
    for say in says:
        number, *commands = say.text.split()
        random.shuffle(commands)
        yield evolve(say, text=" ".join([number, *commands]))


def _with_letters(random: Random, chats: Sequence[PlannedChat], says: Iterable[Say]) -> Iterator[Say]:
    """Let some messages have the agent write to another one. That one answers, and so they go on."""
    agent_of = {planned.name: planned.agent for planned in chats}
    for say in says:
        others = [] if " to=" in say.text else sorted(set(agent_of.values()) - {agent_of[say.chat]})
        writes = f" to={random.choice(others)}" if others and random.random() < WITH_LETTERS else ""
        yield evolve(say, text=f"{say.text}{writes}")


def _other_events(
    seed: int, chats: Sequence[PlannedChat], says: Sequence[Say], hours: float
) -> Iterator[OtherEvent]:
    """Draw deletions and reactions of users and visitors, and webhooks for known and unknown chats."""
    random = Random(f"remarks {seed}")  # noqa: S311 -- a simulation has no secrets
    said = [Said(say.at, say.user, say.chat, say.thread, say.text) for say in says if not say.instead_of]
    yield from draw_deletions(random, said, VISITORS)
    people = {planned.name: (*planned.users, *VISITORS) for planned in chats}
    places = [(planned.name, thread) for planned in chats for thread in planned.threads]
    yield from draw_reactions(random, places, people, hours)
    yield from draw_calls(random, (*people, *LOBBIES), hours)


def _edits(random: Random, says: Sequence[Say], share: float = EDITED) -> Iterator[Say]:
    """Yield edits of some messages. Their text has no commands."""
    for say in says:
        if random.random() < share:
            at, text = say.at + random.expovariate(1 / EDITED_S), f"{say.text.split()[0]}-edited"
            yield evolve(say, at=at, text=text, files={}, instead_of=say.text)


def _with_questions(random: Random, says: Iterator[Say]) -> Iterator[Say]:
    """Let some messages ask a question with buttons, and some of those turns fail."""
    for say in says:
        asks = f" ask={random.choice((20, 60))}" if random.random() < WITH_QUESTIONS else ""
        fails = " fail=1" if asks and " fail" not in say.text and random.random() < HALF else ""
        yield evolve(say, text=f"{say.text}{asks}{fails}")


def _files(random: Random, number: int) -> Mapping[str, bytes]:
    if random.random() >= WITH_FILES:
        return {}
    names = [f"file-{number}.bin", f"another-{number}.bin", f"file {number}.bin"][: random.randrange(1, 4)]
    return {name: random.randbytes(random.randrange(1, LARGEST_FILE)) for name in names}


def _commands(
    random: Random, planned: PlannedChat, chats: Sequence[PlannedChat], change: ClockChange
) -> list[str]:
    """Draw the commands of a message. Most messages have none."""
    fixed = f"{random.randint(*change.minutes)}_{change.hour}_*_*_*"
    crons = (
        "*/20_*_*_*_*",
        fixed,
        fixed,
        f"{fixed};zone={random.choice(CHANGES).zone}",
        "0_*_*_*_*",
        "@daily",
    )
    near = [other.name for other in chats if other.agent == planned.agent and other != planned]
    drawn = {
        "send": 0.15,
        "edit": 0.08,
        "react": 0.08,
        "file": 0.1,
        f"to={random.choice(near)}" if near else "": 0.06,
        f"slow={random.choice((2, 20, 90))}": 0.12,
        f"follow={random.choice((10, 60))}": 0.08,
        f"fail={random.choice((1, 1, 2, 9))}": 0.08,
        "break": 0.03,
        "later=7200": 0.02,
        "silent": 0.01,
        f"once={random.randrange(10, 7200)}": 0.06,
        f"every={random.choice((300, 900, 3600))}{random.choice(CATCH_UPS)}": 0.04,
        f"cron={random.choice(crons)}": 0.05,
        "cancel": 0.03,
        "pause": 0.02,
        "resume": 0.02,
        "update": 0.02,
    }
    return [word for word, chance in drawn.items() if word and random.random() < chance]
