"""The lines of a timeline that matter to a violation."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from attrs import frozen

from nanoclaw.simulation.run import RunResult
from nanoclaw.simulation.timeline_page import FAULTS, HOST, Mark, marks
from nanoclaw.simulation.workload import Workload

BEFORE, AFTER, MENTIONS = 30, 5, 10
"""The number of lines shown before the violation, after it, and of earlier ones about its message."""
COMMITS = {"inbound", "outbound", "commit"}
WORD = re.compile(r"[#\w-]+")
SAID = re.compile(r"#\d+|event-\d+|out-[0-9a-z]+|click-[0-9a-z-]+")


@frozen
class Named:
    """The sessions, places and messages that violations name."""

    sessions: frozenset[str]
    places: frozenset[str]
    """The places of these sessions."""
    messages: frozenset[str]
    """Words that name messages."""

    @classmethod
    def of(cls, result: RunResult) -> "Named":
        """Find the names in the sentences of the violations."""
        words = {word for one in result.violations for word in WORD.findall(one.sentence)}
        sessions = frozenset(words & result.sessions.keys())
        said = {word for word in words if SAID.fullmatch(word)}
        rows = {result.events[word] for word in words & result.events.keys()}
        return cls(sessions, frozenset(result.sessions[id_] for id_ in sessions), frozenset(said | rows))

    def about(self, mark: Mark) -> bool:
        """Return whether a line is about one of the messages."""
        return not self.messages.isdisjoint(WORD.findall(mark.text))

    def matters(self, mark: Mark) -> bool:
        """Return whether a line may be related to the violations."""
        if mark.kind == "violation" or self.about(mark):
            return True
        if any(id_ in mark.text for id_ in self.sessions):
            return True
        return mark.kind not in COMMITS and (
            not self.sessions or mark.lane in {HOST, FAULTS} or mark.lane in self.places
        )


def excerpt(workload: Workload, result: RunResult) -> Iterator[str]:
    """Yield a heading and the lines. Yield nothing if the result has no timeline."""
    if not result.timeline.lines:
        return
    named = Named.of(result)
    yield _heading(result, named)
    drawn = [mark for mark in marks(workload, result) if named.matters(mark)]
    at = next((n for n, mark in enumerate(drawn) if mark.kind == "violation"), len(drawn))
    start = max(0, at - BEFORE)
    earlier = [mark for mark in drawn[:start] if named.about(mark)][-MENTIONS:]
    yield from _lines(earlier, named)
    if start:
        yield "  ..."
    yield from _lines(drawn[start : at + 1 + AFTER], named)


def _heading(result: RunResult, named: Named) -> str:
    if not named.sessions:
        return "The timeline around it, without commits:"
    who = ", ".join(f"{id_} in {result.sessions[id_]}" for id_ in sorted(named.sessions))
    return f"The timeline around it, of {who}, the host and the faults:"


def _lines(drawn: Sequence[Mark], named: Named) -> Iterator[str]:
    for path, run in groupby(drawn, _committed):
        found = list(run)
        lines = [(mark, mark.text.split(maxsplit=1)[1]) for mark in found]
        if path is not None and len(found) > 1:
            numbers = [mark.text.split()[2] for mark in (found[0], found[-1])]
            lines = [(found[0], f"commits  {' to '.join(numbers)}  {path}")]
        for mark, text in lines:
            yield f"{'>' if named.about(mark) else ' '} {mark.text.split()[0]:>14}  {text}"


def _committed(mark: Mark) -> str | None:
    """Return the file of a commit. Successive commits to one file are shown as one line."""
    return mark.text.split()[-1] if mark.kind in COMMITS else None
