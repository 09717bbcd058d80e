"""The verdict on a round: its counts and its violations."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import groupby
from typing import Any

from attrs import field, frozen

from nanoclaw.records import Address
from nanoclaw.store.engine.times import from_text
from nanoclaw.testing.invariants import (
    Asked,
    Evidence,
    rows,
    violations,
)
from tests.soak.channel import CHANNEL, event
from tests.soak.journal import Journal
from tests.soak.places import Places
from tests.soak.plan import DAILY, Plan

EVERY = timedelta(seconds=1)
UNSURE = "unknown whether it was sent%"


@frozen
class Verdict:
    """The verdict on one round or many."""

    counts: Mapping[str, int]
    violations: tuple[str, ...] = ()

    def __add__(self, other: "Verdict") -> "Verdict":
        """Return both verdicts combined."""
        names = {**self.counts, **other.counts}
        counts = {name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in names}
        return Verdict(counts, self.violations + other.violations)


def judge(places: Places, plan: Plan) -> Verdict:
    """Judge the files of a settled round."""
    world = _World.of_round(places, plan)
    return Verdict(dict(world.counts()), (*violations(world.evidence), *world.complaints()))


@frozen
class _World:
    """The evidence of a round, from its network and its files."""

    plan: Plan
    kills: Journal
    runner_died: bool
    """True if a host or runner killed itself at a commit."""
    log: list[dict[str, Any]] = field(repr=False)
    """The network's."""
    evidence: Evidence = field(repr=False)

    @classmethod
    def of_round(cls, places: Places, plan: Plan) -> "_World":
        log = places.network.read()
        asked = [Asked(one["key"], Address(CHANNEL, one["chat"])) for one in _of(log, "asked")]
        confirmed = [event(one["chat"], one["event_id"], "").message_id for one in _of(log, "confirmed")]
        evidence = Evidence(places.home / "data", tuple(confirmed), tuple(asked))
        return cls(plan, places.kills, places.runner_died.exists(), log, evidence)

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return lines of the network's log."""
        return _of(self.log, name)

    def inbound(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of all inbound files."""
        return [row for paths in self.evidence.sessions() for row in rows(paths.inbound_db, sql)]

    def outbound(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of all outbound files."""
        return [row for paths in self.evidence.sessions() for row in rows(paths.outbound_db, sql)]

    # -- counts

    def counts(self) -> Iterator[tuple[str, int]]:
        """Yield the rows of the table: a name and a count."""
        yield "rounds", 1
        yield "kills of hosts", len(self.kills.read("host"))
        yield "kills of runners", len(self.kills.read("runner")) + self.runner_died
        yield "messages accepted", len(self.evidence.accepted)
        yield "messages answered", len(self.answers())
        yield "answers the network has twice", sum(self.copies()[key] > 1 for key in self.answer_keys())
        sent = Counter(text for key, text in self.texts().items() if text.startswith("mid "))
        yield "sent in mid-turn", len(sent)
        yield "  of these again by a later try", sum(n - 1 for n in sent.values())
        yield "  of these twice in the network", sum(self.copies()[key] > 1 for key in self.keys_of("mid "))
        tasks = self.inbound("SELECT series_id, content ->> 'prompt' FROM messages_in WHERE kind = 'task'")
        series = dict(tasks)
        yield "tasks", len(set(series.values()))
        yield "  of these again by a later try ", len(series) - len(set(series.values()))
        yield "  occurrences", len(tasks)
        yield "attempts of unknown outcome", sum(n - 1 for _, n in self.attempts() if n > 1)
        yield "replies given up as unknown", len(self.given_up())

    def texts(self) -> dict[str, str]:
        """Return the texts that the host asked the network to deliver, by key."""
        return {one["key"]: one["text"] for one in self.of("asked")}

    def keys_of(self, beginning: str) -> list[str]:
        return [key for key, text in self.texts().items() if text.startswith(beginning)]

    def answers(self) -> dict[str, set[str]]:
        """Return the keys of the network's final replies, by the event they answer."""
        found: dict[str, set[str]] = {}
        for one in self.of("has"):
            if one["answers"]:
                found.setdefault(one["answers"], set()).add(one["key"])
        return found

    def answer_keys(self) -> set[str]:
        return {key for keys in self.answers().values() for key in keys}

    def copies(self) -> Counter[str]:
        """Return how often the network has a message."""
        return Counter(one["key"] for one in self.of("has"))

    def attempts(self) -> list[tuple[str, int]]:
        return [(key, n) for key, n in self.inbound("SELECT message_out_id, attempts FROM deliveries")]

    def given_up(self) -> set[str]:
        """Keys of replies whose fate is not known, by the ledger's word."""
        sql = f"SELECT message_out_id FROM deliveries WHERE status = 'final' AND error LIKE '{UNSURE}'"  # noqa: S608 -- ours
        return {key for (key,) in self.inbound(sql)}

    # -- what this channel adds to the invariants

    def complaints(self) -> Iterator[str]:
        """Return the violations."""
        yield from self._unanswered()
        yield from self._answered_twice()
        yield from self._undelivered()
        yield from self._untold()
        yield from self._slots()

    def _unanswered(self) -> Iterator[str]:
        """Every accepted message has its answer in the network, or the ledger owns up to not knowing."""
        unsure = self.given_up()
        written: dict[str, set[str]] = {}
        for key, answers in self.outbound(
            "SELECT id, in_reply_to FROM messages_out WHERE in_reply_to IS NOT NULL"
        ):
            written.setdefault(answers, set()).add(key)
        for one in self.of("confirmed"):
            keys = written.get(event(one["chat"], one["event_id"], "").message_id, set())
            if len(keys) != 1:
                yield f"{one['event_id']} has {len(keys)} answers in outbound.db"
            elif one["event_id"] not in self.answers() and not keys & unsure:
                yield f"{one['event_id']} was accepted and is not answered"

    def _answered_twice(self) -> Iterator[str]:
        for event_id, keys in self.answers().items():
            if len(keys) > 1:
                yield f"{event_id} is answered {len(keys)} times: {sorted(keys)}"
        attempts = dict(self.attempts())
        for key, n in self.copies().items():
            if n > 1 and (self.plan.repeat != "again" or n > attempts.get(key, 0)):
                yield f"the network has {key} {n} times; attempts recorded: {attempts.get(key, 0)}"

    def _undelivered(self) -> Iterator[str]:
        """Nothing fails here but what nobody can know."""
        failed = """
            SELECT message_out_id, error FROM deliveries JOIN delivered f USING (message_out_id)
            WHERE f.status = 'failed'
            """
        for key, error in self.inbound(failed):
            if key not in self.given_up():
                yield f"{key} failed: {error}"
        open_ones = f"""
            SELECT id, status FROM messages_in
            WHERE trigger AND status <> 'completed' AND NOT (status = 'pending' AND recurrence IS '{DAILY}')
            """  # noqa: S608 -- ours
        for id_, status in self.inbound(open_ones):
            yield f"{id_} is {status}"

    def _untold(self) -> Iterator[str]:
        """The agent hears of each reply that may not have come, or may have come twice."""
        told = {id_ for (id_,) in self.inbound("SELECT id FROM messages_in WHERE kind = 'system'")}
        for key, attempts in self.attempts():
            if attempts > 1 and f"delivery-unknown-{key}" not in told:
                yield f"{key} took {attempts} attempts, and the agent was not told"
        for key in self.given_up():
            if f"delivery-failed-{key}" not in told:
                yield f"{key} was given up, and the agent was not told"

    def _slots(self) -> Iterator[str]:
        """Each occurrence was answered once; the last of what recurs waits, or was cancelled at any time."""
        answers = Counter(id_ for (id_,) in self.outbound("SELECT in_reply_to FROM messages_out"))
        sql = """
            SELECT series_id, content ->> 'prompt', id, slot FROM messages_in
            WHERE kind = 'task' ORDER BY series_id, slot
            """
        for (owner, prompt), found in groupby(self.inbound(sql), key=lambda row: (row[0], row[1])):
            ids, slots = zip(*((id_, from_text(slot)) for _, _, id_, slot in found), strict=True)
            recurs = not prompt.startswith("once")
            for id_ in ids:
                if not int(not recurs or id_ != ids[-1]) <= answers[id_] <= 1:
                    yield f"{owner} ({prompt}): {id_} was answered {answers[id_]} times"
            if any((slot - slots[0]) % EVERY for slot in slots):
                yield f"{owner} ({prompt}) does not keep its second: {[slot.isoformat() for slot in slots]}"
            if wrong := {"once": len(ids) != 1, "daily": len(ids) != 2}.get(prompt.split()[0]):
                yield f"{owner} ({prompt}) has {len(ids)} occurrences: {wrong}"


def _of(log: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [line for line in log if line["event"] == name]
