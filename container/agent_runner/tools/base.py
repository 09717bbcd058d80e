"""Built-in tools, and the functions that sending tools share."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from attrs import frozen

from agent_runner import inbound, outbound
from agent_runner.errors import ToolError
from agent_runner.providers import Tool, ToolSpec
from agent_runner.records import Address, OutgoingRow, Turn
from agent_runner.session import Session
from agent_runner.store import Connection
from agent_runner.tools.schemas import NOT_BLANK
from agent_runner.turns.state import TurnState


def text(description: str, **more: object) -> Mapping[str, object]:
    """Return the schema of a text that is not blank."""
    return {"type": "string", "description": description, "pattern": NOT_BLANK, **more}


TO = text("Name of a destination. Without it, the chat that is being answered.")
AGENT = "agent"
"""The channel type of messages from agent to agent."""


@frozen
class ToolContext:
    """The context of a call of a built-in tool: the session, the turn, and the session's own chat."""

    session: Session
    turn: Turn
    routing: Address | None
    turn_state: TurnState

    @property
    def home(self) -> Address | None:
        """The chat that is being answered: that of the turn's first message with an address."""
        return next((message.address for message in self.turn.messages if message.address), self.routing)


@frozen
class BuiltinTool:
    """A tool of the runner. `timeout` is the time that it declares, in seconds."""

    spec: ToolSpec
    timeout: float
    run: Callable[[ToolContext, Mapping[str, object]], Awaitable[str]]
    waits_for: Callable[[Mapping[str, object]], float] | None = None
    """Seconds that a call waits for people or for a program, on top of `timeout`."""

    def bind(self, context: ToolContext) -> Tool:
        """Return the tool, ready to be called in a turn."""
        return Tool(self.spec, partial(self.run, context), self.timeout, self.waits_for)


def schema(required: Mapping[str, object], **optional: object) -> Mapping[str, object]:
    """Return the JSON Schema of a tool's arguments: an object of these and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


async def find_address(context: ToolContext, to: object) -> Address:
    """Return the address to send to. Destinations change, so it is read at each call. Raises ToolError."""
    if to is None:
        if context.home is None:
            raise ToolError("this turn has no chat of its own: name a destination in `to`")
        return context.home
    return await context.session.inbound.read(lambda connection: _resolve(connection, str(to), context.home))


def _resolve(connection: Connection, name: str, home: Address | None) -> Address:
    found = inbound.address_for(connection, name, home)
    if found is None:
        names = ", ".join(inbound.destination_names(connection)) or "none"
        raise ToolError(f"there is no destination {name!r}; there are: {names}")
    return found


async def send(
    context: ToolContext,
    address: Address | None,
    content: Mapping[str, object],
    id_: str | None = None,
    kind: str = "chat",
) -> int:
    """Commit a message of this turn at once, and return its number.

    A caller gives `id_` if it has put files under that id, or waits for an answer to it. Only a request (kind
    `system`) may have no address.
    """
    seams = context.session.seams
    seen = await context.session.inbound.read(inbound.sequence_floor)
    turn_id = context.turn.turn_id
    now, answered = seams.clock.now(), None if kind == "system" else _answered(context, address)
    row = OutgoingRow(id_ or seams.new_id("out"), now, address, content, turn_id, answered, kind)
    return await context.session.outbound.write(lambda connection: outbound.send(connection, row, seen))


def _answered(context: ToolContext, address: Address | None) -> str | None:
    """Name the message of another agent that a message to it answers: the session that asked gets it."""
    if address is None or address.channel_type != AGENT:
        return None
    return next((message.id for message in context.turn.messages if message.address == address), None)
