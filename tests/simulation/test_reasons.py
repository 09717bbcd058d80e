"""A user reads why there is no answer in words, whatever the provider gave as its reason."""

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from agent_runner.errors import ProviderError
from agent_runner.providers import SimpleProvider, Toolbox
from agent_runner.records import Result, Turn
from nanoclaw.records.reasons import LONGEST, in_words
from nanoclaw.testing import World

JSON = r'{"type": "error", "error": {"type": "overloaded", "message": "Overloaded: \"try\" later\nplease"}}'
TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: nope'


@define(eq=False)
class Failing(SimpleProvider):
    """A provider whose every turn fails for one reason."""

    reason: str
    name = "failing"

    async def run(self, _turn: Turn, _tools: Toolbox, /) -> Result:
        await trio.lowlevel.checkpoint()
        raise ProviderError(self.reason)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no model", "no model"),
        (JSON, 'Overloaded: "try" later please'),
        (f"HTTP 529: {JSON} (tried twice)", 'HTTP 529: Overloaded: "try" later please (tried twice)'),
        (
            "Error code: 400 - {'type': 'error', 'error': {'message': 'too little credit'}}",
            "Error code: 400 - too little credit",
        ),
        ('{"status": 503, "body": null}', "status: 503"),
        ('{"error": "{\\"message\\": \\"inner\\"}"}', "inner"),
        (f"RuntimeError: {TRACEBACK}", "RuntimeError: ValueError: nope"),
        ("<!DOCTYPE html><html><title>502 Bad Gateway</title></html>", "502 Bad Gateway"),
        ("bad \x1b[31mred\x1b[0m \x00\u202enul", "bad red nul"),
        ("it failed: see [1], {a, b}", "it failed: see [1], {a, b}"),
        ("RuntimeError: ", "RuntimeError"),
        (" \n ", "it gave no reason"),
    ],
)
def test_a_reason_is_given_in_words(reason: str, words: str) -> None:
    assert in_words(reason) == words


@pytest.mark.parametrize(
    "reason", ["very " * 9000, "[" * 9000, '{"error":' * 3000, "({" * 9000, "{'a':" * 90]
)
def test_a_huge_or_deep_reason_is_cut(reason: str) -> None:
    assert len(in_words(reason)) <= LONGEST


async def test_the_chat_is_told_a_providers_reason_in_words(autojump_clock: MockClock) -> None:
    del autojump_clock
    async with World(providers={"failing": lambda: Failing(JSON)}) as world:
        ann = world.user("ann")
        chat = world.chat(ann)
        await world.wire(chat, world.agent("main", brain="failing"))
        await ann.says("why?")
        told = 'I could not answer your message after 5 tries: Overloaded: "try" later please'
        await chat.expect(told, within=1000)
