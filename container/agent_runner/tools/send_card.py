"""The tool send_card: show a card: a title, lines, named values, a link."""

from collections.abc import Iterable, Mapping
from typing import cast

from agent_runner.providers import ToolSpec
from agent_runner.tools.base import TO, BuiltinTool, ToolContext, find_address, schema, send, text


async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
    """Send the card. Channels without cards show its text."""
    address = await find_address(context, arguments.get("to"))
    card = {name: value for name, value in arguments.items() if name != "to"}
    content = {"type": "card", "card": card, "fallbackText": "\n".join(_lines(card))}
    return f"sent as message {await send(context, address, content)}"


def _lines(card: Mapping[str, object]) -> Iterable[str]:
    yield str(card["title"])
    yield from cast("list[str]", card.get("lines", []))
    for name, value in cast("Mapping[str, str]", card.get("fields", {})).items():
        yield f"{name}: {value}"
    if "url" in card:
        yield str(card["url"])


TOOL = BuiltinTool(
    ToolSpec(
        "send_card",
        "Show a card to look at, such as a summary: a title, lines of text, named values, a link. "
        "Where cards are not supported, it is shown as text. Returns the number of the message.",
        schema(
            {"title": text("A few words.", maxLength=200)},
            lines={
                "type": "array",
                "items": text("A line.", maxLength=1000),
                "maxItems": 50,
                "description": "The text, one item each line.",
            },
            fields={
                "type": "object",
                "additionalProperties": {"type": "string", "maxLength": 1000},
                "propertyNames": {"minLength": 1, "maxLength": 200},
                "maxProperties": 25,
                "description": 'Values by their names, such as {"Departure": "9:40"}.',
            },
            url={
                "type": "string",
                "pattern": "^https?://[^\\s]+$",
                "maxLength": 2000,
                "description": "A link that belongs to it.",
            },
            to=TO,
        ),
    ),
    timeout=30.0,
    run=run,
)
