"""A day of a household as a page: its sessions as lanes, with messages, commits, runners and faults.

The page needs no network. All that users or agents said gets into it as JSON in which no markup can begin,
and out of it as text nodes.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from attrs import asdict, frozen

from nanoclaw.testing.household import Household, Say
from nanoclaw.testing.play import Outcome

TEMPLATE = Path(__file__).with_name("lanes.html")
HOST, FAULTS = "host", "faults"
NUMBER = re.compile(r"#\d+")
OPENED = {"host ready": HOST, "runner started": "", "runner adopted": ""}
CLOSED = {"host killed", "host ended", "host failed", "runner ended"}


@frozen
class Mark:
    """Something at one moment, in one lane."""

    at: float
    lane: str
    kind: str
    text: str


@frozen
class Span:
    """A life of the host or of a runner; it may go on beyond the end."""

    lane: str
    begin: float
    end: float
    text: str


def page(household: Household, outcome: Outcome) -> str:
    """One self-contained HTML page."""
    data = {
        "lanes": _lanes(household),
        "marks": [asdict(mark) for mark in marks(household, outcome)],
        "spans": [asdict(span) for span in spans(outcome)],
        "end": outcome.virtual_s,
    }
    parts = {
        "TITLE": escape(f"Seed {household.seed}: {household.hours:g} hours, {household.zone}"),
        "SUMMARY": escape(_summary(household, outcome)),
        "DATA": json.dumps(data, ensure_ascii=True).replace("<", "\\u003c").replace("&", "\\u0026"),
        "TIMELINE": escape(outcome.timeline.text()),
    }
    return re.sub(r"@([A-Z]+)@", lambda match: parts[match[1]], TEMPLATE.read_text("utf-8"))


def _summary(household: Household, outcome: Outcome) -> str:
    found = "; ".join(map(str, outcome.violations)) or "no violations"
    return (
        f"{outcome.messages} messages, {outcome.deliveries} deliveries, {outcome.commits} commits, "
        f"{outcome.restarts} restarts of the host, {outcome.strokes.total()} faults; the network: "
        f"{household.repeat}; began {household.began:%Y-%m-%d %H:%M} UTC; {found}"
    )


def _lanes(household: Household) -> list[str]:
    rooms = ((room.name, thread) for room in household.rooms for thread in room.threads)
    return [FAULTS, HOST, *(f"{name}/{thread}" if thread else name for name, thread in rooms)]


# -- what happened -------------------------------------------------------------


@frozen
class _Line:
    """One line of the timeline."""

    at: float
    event: str
    details: Sequence[str]


def _lines(outcome: Outcome) -> Iterator[_Line]:
    for line in outcome.timeline.lines:
        at, event, *details = line.strip().split("  ")
        yield _Line(float(at), event, details)


def marks(household: Household, outcome: Outcome) -> Iterator[Mark]:
    """Messages, commits, faults, violations."""
    said_in = {say.text.split()[0]: say for say in household.steps if isinstance(say, Say)}
    for line in _lines(outcome):
        text = " ".join([line.event, *line.details])
        match line.event:
            case "said" | "delivered":
                yield Mark(line.at, _place(line.details, said_in, _lanes(household)), line.event, text)
            case "commit":
                lane, kind = _committed(line.details[-1], outcome.sessions)
                yield Mark(line.at, lane, kind, text)
            case "fault" | "violation":
                yield Mark(line.at, FAULTS, line.event, text)
            case "host killed" | "host failed" | "host ready" | "host ended":
                yield Mark(line.at, HOST, "host", text)
            case event if event.startswith("runner "):
                yield Mark(line.at, outcome.sessions.get(line.details[0], HOST), "runner", text)
            case _:
                yield Mark(line.at, HOST, "host", text)


def _place(details: Sequence[str], said_in: Mapping[str, Say], lanes: Sequence[str]) -> str:
    """A chat's lane; in a chat with threads that of the message which the text is about."""
    chat, number = details[0], NUMBER.search(details[-1])
    say = said_in.get(number[0]) if number else None
    if say is not None and say.chat == chat and say.thread:
        return f"{chat}/{say.thread}"
    return next((lane for lane in lanes if lane == chat or lane.startswith(f"{chat}/")), HOST)


def _committed(path: str, sessions: Mapping[str, str]) -> tuple[str, str]:
    parts = Path(path).parts
    if len(parts) < 4:  # noqa: PLR2004 -- sessions/<agent group>/<session>/<side>/<file>
        return HOST, "commit"
    return sessions.get(parts[-3], HOST), parts[-2]


def spans(outcome: Outcome) -> Iterator[Span]:
    """The lives of the host and of runners."""
    open_ = dict[str, tuple[float, str]]()
    for line in _lines(outcome):
        if line.event not in OPENED and line.event not in CLOSED:
            continue
        lane = HOST if line.event.startswith("host") else outcome.sessions.get(line.details[0], "")
        if line.event in OPENED:
            open_.setdefault(lane, (line.at, " ".join([line.event, *line.details])))
        elif lane in open_:
            begin, text = open_.pop(lane)
            yield Span(lane, begin, line.at, f"{text} ... {' '.join([line.event, *line.details])}")
    for lane, (begin, text) in open_.items():
        yield Span(lane, begin, outcome.virtual_s, text)
