"""The page of a workload's day."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from nanoclaw.simulation.faults import Strike, fault_names
from nanoclaw.simulation.run import RunResult, Violation, run_workload
from nanoclaw.simulation.timeline_page import TEMPLATE, Mark, marks, page, spans
from nanoclaw.simulation.workload import Say, Workload, draw_workload
from nanoclaw.testing.silent_logs import silent_logs

HOSTILE = (
    "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)>"
    " & ' \"  \u2028\u202e\0\ud800 @DATA@ \\1"
)


@pytest.fixture(scope="module")
def day() -> Iterator[tuple[Workload, RunResult]]:
    drawn = draw_workload(7, hours=1.0, faults=fault_names("all"))
    steps = [hostile(step) if isinstance(step, Say) else step for step in drawn.steps]
    kills = (Strike(steps[9].at + 30 * n, "kill-host", n) for n in range(1, 4))
    one = evolve(drawn, steps=(*steps[:10], *kills))
    with silent_logs():
        yield one, run_workload(one)


def hostile(say: Say) -> Say:
    before = say.instead_of and f"{say.instead_of} {HOSTILE}"
    return evolve(say, text=f"{say.text} {HOSTILE}", instead_of=before)


def data(html: str) -> dict[str, list[Any]]:
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return dict(json.loads(found))


def test_the_page_shows_messages_commits_faults_and_lives_in_their_session_s_lane(
    day: tuple[Workload, RunResult],
) -> None:
    drawn = list(marks(*day))
    assert {"said", "delivered", "inbound", "outbound", "commit", "fault", "death"} <= {
        mark.kind for mark in drawn
    }
    lanes = {say.chat if say.thread is None else f"{say.chat}/{say.thread}" for say in said(day[0])}
    # A press on a card of an approval is in the direct chat of who decides.
    spoken = [mark for mark in drawn if mark.kind == "said" and "click" not in mark.text.split()[1]]
    assert {mark.lane for mark in spoken} - {"host"} == lanes
    assert lanes <= {span.lane for span in spans(day[1])}
    assert len(spoken) == len(list(said(day[0])))


def said(workload: Workload) -> Iterator[Say]:
    return (step for step in workload.steps if isinstance(step, Say))


def test_the_page_contains_each_line_of_the_timeline_once(day: tuple[Workload, RunResult]) -> None:
    html = page(*day)
    found = data(html)
    lines = [line.strip() for line in day[1].timeline.lines]
    assert found["lines"] == lines
    assert len(found["lane"]) == len(found["kind"]) == len(lines)
    assert [found["lanes"][lane] for lane in found["lane"]] == [mark.lane for mark in marks(*day)]
    assert len(html) < len(day[1].timeline.text()) * 1.2 + len(TEMPLATE.read_text("utf-8"))


def test_a_violation_is_drawn_even_if_the_world_could_not_note_it(day: tuple[Workload, RunResult]) -> None:
    broken = evolve(day[1], violations=(Violation("nothing_breaks", "<b>KeyError</b>", 7.0),))
    assert Mark(7.0, "faults", "violation", "7.000000  violation  nothing_breaks  <b>KeyError</b>") in set(
        marks(day[0], broken)
    )
    assert '<p class="violated">' in page(day[0], broken)
    assert "<b>KeyError" not in page(day[0], broken)


def test_message_text_never_becomes_markup(day: tuple[Workload, RunResult]) -> None:
    html = page(*day)
    assert html.count("<script") == 2
    assert "<img" not in html
    assert "alert(1)" in html


def test_the_page_needs_no_network(day: tuple[Workload, RunResult]) -> None:
    addresses = re.findall(r"(?:https?:)?//[a-z][\w.]+", page(*day))
    assert set(addresses) == {"http://www.w3.org"}  # the namespace of SVG, which is never fetched
    assert "default-src 'none'" in page(*day)
