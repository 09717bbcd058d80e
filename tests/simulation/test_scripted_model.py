"""The scripted model of workloads: what it reads, what it calls, and that workloads meet all of its moods."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from nanoclaw.simulation.model_conversation import SpokenMessage, read_conversation
from nanoclaw.simulation.run import run_workload
from nanoclaw.simulation.scripted_model import ODDITIES, ScriptedModel
from nanoclaw.simulation.workload import draw_workload
from nanoclaw.testing import ModelAnswer, ModelBreak, ModelFailure, ModelRequest
from nanoclaw.testing.models import Reaction
from nanoclaw.testing.silent_logs import silent_logs

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGENTS = frozenset({"main", "helper", "shared"})
EVEN = 8
"""A seed whose server misbehaves at none of these requests."""


def asked(text: str) -> Mapping[str, object]:
    message = f'<message id="4" time="Thu 2026-01-01 10:00" sender="ann">{text}</message>'
    return {"role": "user", "content": f"<messages>\n{message}\n</messages>"}


def said(*calls: str) -> Mapping[str, object]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": name}} for name in calls],
    }


def result(text: str) -> Mapping[str, object]:
    return {"role": "tool", "tool_call_id": "call_1", "content": text}


def body(*messages: Mapping[str, object], system: str = "You are Ann.") -> Mapping[str, Any]:
    return {"messages": [{"role": "system", "content": system}, *messages], "stream": True}


def reaction(*messages: Mapping[str, object], seed: int = EVEN) -> Reaction:
    model = ScriptedModel(seed, lambda *_details: None, lambda: NOW)
    return model(ModelRequest("openai", "/v1/chat/completions", {}, body(*messages)))


def called(answer: Reaction) -> Sequence[tuple[str, object]]:
    assert isinstance(answer, ModelAnswer)
    return [(call.name, call.arguments) for call in answer.calls]


def test_it_reads_the_messages_of_the_running_turn_only() -> None:
    before = [asked("#1 send"), {"role": "assistant", "content": "re #1"}]
    found = read_conversation(
        body(*before, asked("#2 to=&lt;x&gt;"), said("a", "b"), result("1"), result("2"))
    )
    assert found.messages == (SpokenMessage(4, ("#2", "to=<x>")),)
    assert found.results == (["1", "2"],)


def test_it_reads_what_an_interrupted_turn_sent() -> None:
    sent = '<interrupted>\nDo not repeat it.\n<sent id="7" to="this chat">#1 on it</sent>\n</interrupted>'
    message = {"role": "user", "content": f"{asked('#1 send')['content']}\n{sent}"}
    assert read_conversation(body(message)).sent == {"#1 on it"}


def test_a_summary_names_what_was_answered() -> None:
    text = "Summarise this conversation:\n\nAssistant: re #1\n\nAssistant: re #2\nre #3"
    found = read_conversation(body({"role": "user", "content": text}, system="You summarise a conversation"))
    assert found.summary == "re #1 re #2 re #3"


def test_an_edit_uses_the_number_of_the_message_that_it_has_sent() -> None:
    first = called(reaction(asked("#1 edit")))
    assert ("send_message", {"text": "#1 first"}) in first
    second = reaction(
        asked("#1 edit"), said(*(name for name, _ in first)), *(result("sent as message 9") for _ in first)
    )
    assert called(second) == [("edit_message", {"message_id": 9, "text": "#1 second"})]


def test_a_message_without_commands_is_answered_by_its_name() -> None:
    answers = [reaction(asked("#1"), seed=seed) for seed in range(20)]
    assert any(isinstance(each, ModelAnswer) and each.text.startswith("re #1") for each in answers)


@pytest.mark.slow
def test_a_workload_meets_each_mood_of_the_model() -> None:
    with silent_logs():
        workload = evolve(draw_workload(7, hours=6.0), modelled=frozenset({"main", "helper", "shared"}))
        lines = run_workload(workload).timeline.lines
    shown = {line.split("  ")[-1] for line in lines if "  model  " in line}
    moods = {f"fails: {name}" for name, *_ in ODDITIES}
    assert shown >= moods | {"summarises", "finds it too long", "corrects its answer", "answers"}


def test_its_failures_can_be_sent() -> None:
    assert {type(each) for _, each, _ in ODDITIES} == {ModelBreak, ModelFailure}
    assert json.dumps([name for name, *_ in ODDITIES])
