"""Finds a message on its platform by the number that the agent knows (contract 4, Sequence numbers)."""

from attrs import frozen

from agent_runner import inbound, outbound
from agent_runner.errors import ToolError
from agent_runner.records import Address, Delivered, Target
from agent_runner.tools.base import ToolContext

MESSAGE_ID = {"type": "integer", "description": "The number of the message."}


@frozen
class PlatformMessage:
    """A message, by its platform's own id."""

    address: Address
    id: str


async def find_target(context: ToolContext, seq: int) -> PlatformMessage:
    """Return the message with that number: even numbers are inbound, odd ones outbound. Raises ToolError."""
    target = await _target(context, seq)
    if target is None:
        raise ToolError(f"there is no message {seq}")
    if target.address is None:
        raise ToolError(f"message {seq} has no chat")
    if target.message_out_id is None:
        return PlatformMessage(target.address, _own_id(seq, target))
    id_ = target.message_out_id
    outcome = await context.session.inbound.read(lambda connection: inbound.delivered(connection, id_))
    return PlatformMessage(target.address, _delivered_id(seq, outcome))


async def _target(context: ToolContext, seq: int) -> Target | None:
    if not 0 < seq < 1 << 63:
        return None
    if seq % 2:
        return await context.session.outbound.read(lambda connection: outbound.target(connection, seq))
    return await context.session.inbound.read(lambda connection: inbound.target(connection, seq))


def _own_id(seq: int, target: Target) -> str:
    id_ = target.content.get("id")
    if not isinstance(id_, str | int) or id_ == "":
        raise ToolError(f"message {seq} is not a message of a chat")
    return str(id_)


def _delivered_id(seq: int, outcome: Delivered | None) -> str:
    if outcome is None:
        raise ToolError(f"message {seq} is not delivered yet; try again in a moment")
    if outcome.status != "delivered":
        raise ToolError(f"message {seq} could not be delivered")
    if not outcome.platform_message_id:
        raise ToolError(f"message {seq} cannot be changed: its channel has no message ids")
    return outcome.platform_message_id
