"""The tools that ask people, and what became of it, in words for the agent."""

import json

import pytest

from agent_runner.prompt.outcomes import words
from agent_runner.providers.repeats import Repeats
from agent_runner.providers.toolbox import SANDBOX_TOOLS
from agent_runner.records import Sent
from agent_runner.tools import TOOLS
from agent_runner.tools.sandboxed import ALL_TOOLS
from tests.runner.world import Listener, World

IN_A_SANDBOX = {"install_packages", "add_mcp_server", "request_rebuild", "request_mount"}
ANYWHERE = {"create_agent", "request_budget"}


def test_only_a_sandbox_has_the_tools_that_change_it() -> None:
    assert ANYWHERE.issubset(TOOLS)
    assert IN_A_SANDBOX.isdisjoint(TOOLS)
    assert (IN_A_SANDBOX | ANYWHERE).issubset(ALL_TOOLS)
    assert not (IN_A_SANDBOX | ANYWHERE) & SANDBOX_TOOLS, "Claude Code has none of them of its own"


async def _said(world: World, answer: dict[str, object]) -> tuple[str, dict[str, object]]:
    message = world.put(2, f"!create_agent {json.dumps({'name': 'Cook', 'instructions': 'Cook.'})}")
    async with world.running(Listener()):
        await world.until(world.requests)
        world.answer(world.requests()[0][0], 4, **answer)
        await world.until_acked(message)
    ((_, content),) = world.requests()
    return world.texts()[-1], content


async def test_a_request_has_the_arguments_as_they_are(world: World) -> None:
    said, content = await _said(world, {"approval": "appr-1", "state": "asked"})
    assert content == {"action": "create_agent", "name": "Cook", "instructions": "Cook."}
    assert "a person decides" in said
    assert "appr-1" in said


async def test_a_rule_allows_it_at_once(world: World) -> None:
    said, _ = await _said(world, {"approval": "appr-1", "state": "allowed"})
    assert "allowed by a rule" in said


async def test_a_refusal_is_told_in_the_words_of_the_host(world: World) -> None:
    said, _ = await _said(world, {"status": "failed", "error": "choose another name"})
    assert "choose another name" in said


@pytest.mark.parametrize(("name", "same"), [("Cook", True), ("Baker", False)])
def test_a_repeated_turn_finds_its_request_by_all_arguments(name: str, same: bool) -> None:  # noqa: FBT001 -- a parameter
    sent = Sent(1, "system", None, {"action": "create_agent", "name": "Cook"})
    assert (Repeats([sent]).find("create_agent", {"name": name}) is sent) == same


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {
                "action": "create_agent",
                "decision": "approved",
                "result": {"name": "Cook", "destination": "cook"},
            },
            (
                'It was approved, and it is done. The agent "Cook" exists. To write to it, use send_message '
                'with the destination "cook".'
            ),
        ),
        (
            {"action": "install_packages", "decision": "approved", "result": {"packages": {"pip": ["rich"]}}},
            "It was approved, and it is done. Your sandbox has it now: pip: rich.",
        ),
        (
            {"action": "install_packages", "decision": "approved", "result": {"error": "no such package"}},
            "It was approved, but it failed: no such package",
        ),
        (
            {"action": "request_mount", "decision": "rejected", "result": {}, "note": "never"},
            (
                "It was rejected. Do not ask for it again, unless a user tells you to. "
                'The person who decided adds: "never"'
            ),
        ),
        (
            {"action": "buy_tea", "decision": "approved", "result": {"cups": 2}},
            'It was approved, and it is done. {"cups": 2}',
        ),
        (
            {"action": [], "decision": {}, "result": None},
            "It was approved, and it is done.",
        ),
    ],
)
def test_outcomes_are_sentences(content: dict[str, object], said: str) -> None:
    assert words(content) == said


def test_an_expired_request_is_not_done() -> None:
    assert "Nobody decided in time" in words({"action": "create_agent", "decision": "expired", "result": {}})
