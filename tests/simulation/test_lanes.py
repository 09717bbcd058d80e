"""The page of a household's day."""

import json
import re
from collections.abc import Iterator

import pytest
from attrs import evolve

from nanoclaw.testing.campaign import quiet
from nanoclaw.testing.faults import Blow, fault_names
from nanoclaw.testing.household import Household, Say, household
from nanoclaw.testing.lanes import page
from nanoclaw.testing.play import Outcome, play

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \u2028"


@pytest.fixture(scope="module")
def day() -> Iterator[tuple[Household, Outcome]]:
    drawn = household(4, hours=1.0, faults=fault_names("all"))
    steps = [
        evolve(step, text=f"{step.text} {HOSTILE}") if isinstance(step, Say) else step for step in drawn.steps
    ]
    one = evolve(drawn, steps=(*steps[:10], Blow(steps[9].at + 1, "kill-host", 4)))
    with quiet():
        yield one, play(one)


def data(html: str) -> dict[str, list[dict[str, object]]]:
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return dict(json.loads(found))


def test_messages_commits_faults_and_lives_are_in_the_lanes_of_their_sessions(
    day: tuple[Household, Outcome],
) -> None:
    found = data(page(*day))
    kinds = {mark["kind"] for mark in found["marks"]}
    assert {"said", "delivered", "inbound", "outbound", "fault", "host", "runner"} <= kinds
    assert {mark["lane"] for mark in found["marks"]} <= set(found["lanes"])
    assert {"host"} < {span["lane"] for span in found["spans"]} <= set(found["lanes"])
    said = [mark["text"] for mark in found["marks"] if mark["kind"] == "said"]
    assert len(said) == sum(isinstance(step, Say) for step in day[0].steps)


def test_nothing_that_anybody_says_becomes_markup(day: tuple[Household, Outcome]) -> None:
    html = page(*day)
    assert html.count("<script") == 2
    assert "<img" not in html
    assert "alert(1)" in html


def test_the_page_needs_no_network(day: tuple[Household, Outcome]) -> None:
    addresses = re.findall(r"(?:https?:)?//[a-z][\w.]+", page(*day))
    assert set(addresses) == {"http://www.w3.org"}  # the name of SVG, which nobody fetches
    assert "default-src 'none'" in page(*day)
