"""Common parts of the tools that ask people for something: the request, and its answer in words."""

from collections.abc import Mapping

from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, ToolContext, schema, text
from agent_runner.tools.requests import TIMEOUT, request

REASON = text("Why you need it, for the person who decides. Write it in one line.", maxLength=500)
ASKED = (
    "asked; a person decides, which may take hours. The outcome comes to you as a message. "
    "Do not wait and do not ask again: say what you have asked for, and go on without it, or end your turn"
)
ALLOWED = "allowed by a rule, and being done; the outcome comes to you as a message"
UNKNOWN = "requested; what becomes of it comes to you as a message"
PEOPLE = "People are asked first, and you are told the outcome later, in a message."


def strings(description: str) -> Mapping[str, object]:
    """Return the schema of a list of texts."""
    return {"type": "array", "items": {"type": "string"}, "maxItems": 50, "description": description}


def pairs(description: str) -> Mapping[str, object]:
    """Return the schema of an object of texts."""
    return {"type": "object", "additionalProperties": {"type": "string"}, "description": description}


def asking(tool: str, description: str, required: Mapping[str, object], /, **optional: object) -> BuiltinTool:
    """Return a tool that sends its arguments as a request of its own name. The host checks them."""

    async def run(context: ToolContext, arguments: Mapping[str, object]) -> str:
        result = await request(context, {"action": tool, **arguments}, context.home)
        return _words(result)

    parameters = schema(required, **optional, reason=REASON)
    return BuiltinTool(ToolSpec(tool, f"{description} {PEOPLE}", parameters), timeout=TIMEOUT, run=run)


def _words(result: Mapping[str, object] | None) -> str:
    match result:
        case {"state": "allowed"}:
            return ALLOWED
        case {"approval": str(id_)}:
            return f"{ASKED}. The request is {id_}"
        case _:
            return UNKNOWN
