"""What a tool is, and what every tool that sends has in common: where to, and how."""

from collections.abc import Awaitable, Callable, Mapping

from attrs import frozen

from agent_runner import inbound, outbound
from agent_runner.errors import ToolError
from agent_runner.extras import Extras
from agent_runner.providers import ToolSpec
from agent_runner.records import Address, Draft, Turn
from agent_runner.session import Session
from agent_runner.store import Connection

AGENT = "agent"
"""The channel type of messages from agent to agent."""
TO: Mapping[str, object] = {
    "type": "string",
    "description": "Name of a destination. Without it, the chat that is being answered.",
}


@frozen
class Bench:
    """Where a tool works: the session, the turn it is called in, the session's own chat."""

    session: Session
    turn: Turn
    routing: Address | None
    extras: Extras

    @property
    def home(self) -> Address | None:
        """The chat that is being answered: of the turn's first message that has one."""
        return next((message.address for message in self.turn.messages if message.address), self.routing)


@frozen
class Tool:
    """A tool: what a model is told of it, the time it declares (seconds), and what it does."""

    spec: ToolSpec
    timeout: float
    run: Callable[[Bench, Mapping[str, object]], Awaitable[str]]
    patience: Callable[[Mapping[str, object]], float] | None = None
    """How long a call waits for somebody, on top of `timeout`."""

    def declared(self, arguments: Mapping[str, object]) -> float:
        """The time that a call with these arguments may take, in seconds."""
        return self.timeout + (self.patience(arguments) if self.patience else 0.0)


def schema(required: Mapping[str, object], **optional: object) -> Mapping[str, object]:
    """The JSON schema of a tool's arguments: an object of these and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


async def find_address(bench: Bench, to: object) -> Address:
    """Where a call wants to send; looked up at each call, for destinations change. Raises ToolError."""
    if to is None:
        if bench.home is None:
            raise ToolError("this turn has no chat of its own: name a destination in `to`")
        return bench.home
    return await bench.session.host.read(lambda connection: _resolve(connection, str(to), bench.home))


def _resolve(connection: Connection, name: str, home: Address | None) -> Address:
    found = inbound.destination(connection, name)
    if found is None:
        names = ", ".join(inbound.destination_names(connection)) or "none"
        raise ToolError(f"there is no destination {name!r}; there are: {names}")
    if home and (found.channel_type, found.platform_id) == (home.channel_type, home.platform_id):
        return home  # in its thread
    return found


async def send(
    bench: Bench,
    address: Address | None,
    content: Mapping[str, object],
    id_: str | None = None,
    kind: str = "chat",
) -> int:
    """Commit a message of this turn at once; its number.

    `id_` is given where files were put under it, or an answer is waited for. Only a request (kind `system`)
    may have no address.
    """
    seams = bench.session.seams
    seen = await bench.session.host.read(inbound.sequence_floor)
    turn_id = bench.turn.turn_id
    now, answered = seams.clock.now(), None if kind == "system" else _answered(bench, address)
    draft = Draft(id_ or seams.new_id("out"), now, address, content, turn_id, answered, kind)
    return await bench.session.own.write(lambda connection: outbound.send(connection, draft, seen))


def _answered(bench: Bench, address: Address | None) -> str | None:
    """Name the message of another agent that a message to it answers: the session that asked gets it."""
    if address is None or address.channel_type != AGENT:
        return None
    return next((message.id for message in bench.turn.messages if message.address == address), None)
