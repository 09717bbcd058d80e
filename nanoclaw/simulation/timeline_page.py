"""A page that shows a workload as a timeline: a lane for each session, with messages, commits and faults.

The page needs no network. Texts of users and agents are in it once, as JSON without markup characters. The
script shows them as text nodes.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from attrs import frozen

from nanoclaw.simulation.run import RunResult
from nanoclaw.simulation.workload import Say, Workload

TEMPLATE = Path(__file__).with_name("timeline_page.html")
HOST, FAULTS = "host", "faults"
NUMBER = re.compile(r"#\d+")
KINDS = (
    "said",
    "delivered",
    "inbound",
    "outbound",
    "commit",
    "fault",
    "over",
    "violation",
    "death",
    "stop",
    "event",
    "life",
)
"""The kinds of marks that the script draws. A span draws `life`."""
OPENED = {"host ready", "runner started", "runner adopted"}
CLOSED = {"host killed", "host ended", "host failed", "runner ended"}
IN_ORDER = {"stopped", "None"}
"""The ends of runners that are not deaths."""
LASTS = re.compile(r"for (\d+) s")


@frozen
class Mark:
    """A line of the timeline, with its lane."""

    at: float
    lane: str
    kind: str
    text: str
    """The line without leading spaces."""


@frozen
class Span:
    """The run of a host or a runner, or the duration of a fault. It may extend beyond the end."""

    lane: str
    begin: float
    end: float


def page(workload: Workload, result: RunResult) -> str:
    """Return a self-contained HTML page."""
    parts = {
        "TITLE": escape(f"Seed {workload.seed}: {workload.hours:g} h, {workload.zone}"),
        "SUMMARY": escape(_summary(workload, result)),
        "VERDICT": "".join(f'<p class="violated">{escape(str(one))}</p>' for one in result.violations),
        "DATA": json.dumps(_data(workload, result), ensure_ascii=True, separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace("&", "\\u0026"),
    }
    return re.sub(r"@([A-Z]+)@", lambda match: parts[match[1]], TEMPLATE.read_text("utf-8"))


def _data(workload: Workload, result: RunResult) -> Mapping[str, object]:
    """Return the data of the page. To keep it small, lanes and kinds are numbers."""
    lanes, drawn = _lanes(workload), list(marks(workload, result))
    return {
        "lanes": lanes,
        "kinds": KINDS,
        "lines": [mark.text for mark in drawn],
        "lane": [lanes.index(mark.lane) for mark in drawn],
        "kind": [KINDS.index(mark.kind) for mark in drawn],
        "spans": [(lanes.index(span.lane), span.begin, span.end) for span in spans(result)],
        "end": result.virtual_s,
    }


def _summary(workload: Workload, result: RunResult) -> str:
    facts = {
        "messages": result.messages,
        "deliveries": result.deliveries,
        "commits": result.commits,
        "restarts of the host": result.restarts,
        "faults": result.strikes.total(),
        "violations": len(result.violations),
        "began": f"{workload.began:%Y-%m-%d %H:%M} UTC",
        "messages of unknown fate": workload.repeat,
    }
    return " \N{MIDDLE DOT} ".join(f"{name}: {value}" for name, value in facts.items())


def _lanes(workload: Workload) -> list[str]:
    chats = ((planned.name, thread) for planned in workload.chats for thread in planned.threads)
    return [FAULTS, HOST, *(f"{name}/{thread}" if thread else name for name, thread in chats)]


# -- marks and spans -------------------------------------------------------------


@frozen
class _Line:
    """One line of the timeline."""

    at: float
    event: str
    details: Sequence[str]
    text: str


def _lines(result: RunResult) -> Iterator[_Line]:
    for line in result.timeline.lines:
        yield _line(line)
    if not any(line.split(maxsplit=2)[1] == "violation" for line in result.timeline.lines):
        for one in result.violations:  # an error that ended the world is not in its timeline
            yield _line(f"{one.at:.6f}  violation  {one.invariant}  {one.sentence}")


def _line(text: str) -> _Line:
    at, event, *details = text.strip().split("  ")
    return _Line(float(at), event, details, text.strip())


def marks(workload: Workload, result: RunResult) -> Iterator[Mark]:
    """Yield each line of the timeline, and the violations that it does not have."""
    said_in = {say.text.split()[0]: say for say in workload.steps if isinstance(say, Say)}
    lanes = _lanes(workload)
    for line in _lines(result):
        lane, kind = _drawn(line, said_in, lanes, result.sessions)
        yield Mark(line.at, lane, kind, line.text)


def _drawn(
    line: _Line, said_in: Mapping[str, Say], lanes: Sequence[str], sessions: Mapping[str, str]
) -> tuple[str, str]:
    """Return a line's lane and kind."""
    match line.event:
        case "said" | "edited" | "clicked" | "click dropped" | "delivered":
            kind = "delivered" if line.event == "delivered" else "said"
            return _place(line.details, said_in, lanes), kind
        case "commit":
            return _committed(line.details[-1], sessions)
        case "fault":
            return FAULTS, "over" if line.details[-1] in {"is over", "healed"} else "fault"
        case "violation":
            return FAULTS, "violation"
        case event if event.startswith("runner "):
            return sessions.get(line.details[0], HOST), _turning_point(line)
        case event:
            lane = _place_of_number(line.details[0], said_in) if event == "model" else HOST
            return lane, _turning_point(line)


def _turning_point(line: _Line) -> str:
    """Return the kind of an event of the host or of a runner."""
    if line.event in {"host killed", "host failed"}:
        return "death"
    if line.event == "runner ended" and line.details[1] not in IN_ORDER:
        return "death"
    if line.event == "host ended":
        return "stop"
    return "life" if line.event in OPENED | CLOSED else "event"


def _place(details: Sequence[str], said_in: Mapping[str, Say], lanes: Sequence[str]) -> str:
    """Return the lane of a chat, or of the thread that the text's message is in."""
    chat, number = details[0], NUMBER.search(" ".join(details[3:]))
    say = said_in.get(number[0]) if number else None
    if say is not None and say.chat == chat and say.thread:
        return f"{chat}/{say.thread}"
    return next((lane for lane in lanes if lane == chat or lane.startswith(f"{chat}/")), HOST)


def _place_of_number(text: str, said_in: Mapping[str, Say]) -> str:
    """Return the lane of the first message that a text names."""
    number = NUMBER.search(text)
    say = said_in.get(number[0]) if number else None
    if say is None:
        return HOST
    return f"{say.chat}/{say.thread}" if say.thread else say.chat


def _committed(path: str, sessions: Mapping[str, str]) -> tuple[str, str]:
    parts = Path(path).parts
    if "sessions" not in parts:  # sessions/<agent group>/<session>/<side>/<file>
        return HOST, "commit"
    return sessions.get(parts[-3], HOST), parts[-2]


def spans(result: RunResult) -> Iterator[Span]:
    """Yield the runs of hosts and runners, and the lasting faults."""
    yield from _lives(result)
    faults = [line for line in _lines(result) if line.event == "fault"]
    healed = min((line.at for line in faults if line.details[-1] == "healed"), default=result.virtual_s)
    for line in faults:
        if lasts := LASTS.fullmatch(line.details[-1]):
            yield Span(FAULTS, line.at, max(line.at, min(line.at + float(lasts[1]), healed)))


def _lives(result: RunResult) -> Iterator[Span]:
    open_ = dict[str, tuple[str, float]]()  # of "host", or a session's id
    for line in _lines(result):
        who = HOST if line.event.startswith("host") else next(iter(line.details), "")
        if line.event in OPENED:
            lane = HOST if who == HOST else result.sessions.get(who, HOST)
            open_.setdefault(who, (lane, line.at))
        elif line.event in CLOSED and who in open_:
            lane, begin = open_.pop(who)
            yield Span(lane, begin, line.at)
    yield from (Span(lane, begin, result.virtual_s) for lane, begin in open_.values())
