"""A provider without a model: repeats each message, and calls a tool for `!<tool> <json>`.

It takes no follow-ups: messages during a turn wait for the next one. It does not repeat what an interrupted
turn had already sent or requested.
"""

import json
from collections.abc import Mapping

from attrs import frozen

from agent_runner.errors import ToolError
from agent_runner.providers import Provider, SimpleProvider, Toolbox
from agent_runner.providers.repeats import Repeats
from agent_runner.records import Inbound, Reply, Result, Turn


@frozen
class Echo(SimpleProvider):
    """The provider named `echo`."""

    name: str = "echo"

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Answer each message of the turn."""
        repeats = Repeats(list(turn.already_sent))
        answers = [(message.id, await _answer(message, tools, repeats)) for message in turn.messages]
        return Result(tuple(Reply(text, id_) for id_, text in answers if text is not None))


def create() -> Provider:
    """Make the provider, for `providers.load`."""
    return Echo()


async def _answer(message: Inbound, tools: Toolbox, repeats: Repeats) -> str | None:
    match message.kind:
        case "chat" | "chat-sdk":
            return await _chat(_text(message.content, "text"), tools, repeats)
        case "task":
            return f"echo: {_text(message.content, 'prompt')}"
        case "webhook":
            return f"echo: {_text(message.content, 'event')}"
        case _:
            return _chosen(message.content)


def _chosen(content: Mapping[str, object]) -> str | None:
    """Repeat an answer to a question that no tool waits for any more."""
    match content:
        case {"type": "question_response", "selectedOption": str(option)}:
            return f"echo: {option}"
        case _:
            return None


def _text(content: Mapping[str, object], key: str) -> str:
    value = content.get(key)
    return value if isinstance(value, str) else ""


async def _chat(text: str, tools: Toolbox, repeats: Repeats) -> str:
    if not text.startswith("!"):
        return f"echo: {text}"
    name, _, arguments = text[1:].partition(" ")
    try:
        return await _call(name, _arguments(arguments), tools, repeats)
    except ToolError as error:
        return str(error)


async def _call(name: str, arguments: Mapping[str, object], tools: Toolbox, repeats: Repeats) -> str:
    done = repeats.find(name, arguments)
    return f"done before: {name}, message {done.seq}" if done else await tools.call(name, arguments)


def _arguments(text: str) -> Mapping[str, object]:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise ToolError(f"the arguments are not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ToolError("the arguments are not an object")
    return arguments
