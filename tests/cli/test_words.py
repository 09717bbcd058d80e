"""Commands that the terminal's chat names exist."""

import re

import pytest

from nanoclaw.channels.terminal.words import HELP, greeting
from nanoclaw.cli.root import nanoclaw
from nanoclaw.records import Answering

COMMANDS = sorted(set(re.findall(r"`nanoclaw ([a-z ]+?)(?: --help)?`", f"{HELP}\n{greeting('Nano', ())}")))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_the_chat_names_exists(command: str) -> None:
    assert nanoclaw.main([*command.split(), "--help"], standalone_mode=False) == 0


@pytest.mark.parametrize(
    ("answering", "line"),
    [
        (
            (Answering("Ann", "echo"),),
            "Ann (provider echo: it repeats what you type; `nanoclaw setup` chooses a model) answers here.",
        ),
        ((Answering("Ann", "openai", "qwen3"),), "Ann (model qwen3, provider openai) answers here."),
        (
            (Answering("Ann", "x"), Answering("Bob", "y")),
            "Ann (provider x) and Bob (provider y) answer here.",
        ),
    ],
)
def test_the_greeting_says_who_answers(answering: tuple[Answering, ...], line: str) -> None:
    assert line in greeting("Nano", answering)
