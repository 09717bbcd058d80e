"""Delivers rows to other agents: checks that it is allowed, and finds or opens the receiving session.

A row is final once that session has committed it, or cut it. Its id there is made of the sending session and
the delivery, so a repeat is stored once. While the session is down, the row waits in the ledger of its
sender.
"""

from contextlib import AsyncExitStack

from attrs import frozen

from actors import ActorError, Ref
from nanoclaw.dispatch.outgoing import Outbox
from nanoclaw.records import (
    Address,
    AgentGroup,
    AgentMessage,
    Attachment,
    CardContent,
    OutgoingContent,
    OutgoingFile,
    Receipt,
    TextContent,
)
from nanoclaw.records.content import BadContent
from nanoclaw.registry import OpenSession, Registry
from nanoclaw.session import AgentInbox, Conversation, SessionDown, outcomes
from nanoclaw.session.conversations import conversation
from nanoclaw.session.dispatch import Source
from nanoclaw.session.outcomes import Delivered, DeliveryRefused, Result, Undeliverable
from nanoclaw.session.queue import Delivery
from nanoclaw.store import Connection, DamagedRow, Reader, StoreError
from nanoclaw.store.central import agent_groups, destinations, sessions
from nanoclaw.store.session import agent_messages
from nanoclaw.store.session.agent_messages import Letter
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.store.session.outbox import BadAttachment
from nanoclaw.system.clock import Clock


@frozen
class _Route:
    """The receiver of a message. `session` is None if it must still be opened."""

    sender_name: str
    agent_group: AgentGroup
    session: Conversation | None


@frozen
class ToAgents:
    """Delivers to the sessions of other agents."""

    central: Reader
    registry: Ref[Registry]
    inbox: AgentInbox
    outbox: Outbox
    clock: Clock

    async def attempt(self, source: Source, delivery: Delivery, row: MessageOut, address: Address) -> Result:
        """Have a session of the agent store the message, if that is allowed."""
        letter = await source.inbound.run(agent_messages.letter, delivery.id, row.in_reply_to)
        try:
            route = await self.central.run(_route, source.conversation, address, letter)
        except DamagedRow as error:
            return outcomes.hold(delivery, str(error), self.clock.now(), source.rules)
        if not isinstance(route, _Route):
            # The row is the host's own notice, so the runner has not broken the contract.
            return Undeliverable(route.reason) if row.id.startswith(NOTICE) else route
        async with AsyncExitStack() as stack:
            try:
                opened = self.outbox.opened(source.conversation, row)
                content, files = await stack.enter_async_context(opened)
                text = _text(content)
            except (BadContent, BadAttachment) as error:
                return DeliveryRefused(str(error))
            try:
                return await self._send(source, delivery, letter, route, text, files)
            except (SessionDown, ActorError, StoreError) as error:
                reason = f"the agent {route.agent_group.name} cannot take messages now: {error}"
                return outcomes.hold(delivery, reason, self.clock.now(), source.rules)

    async def _send(  # noqa: PLR0913, PLR0917 -- the message and its receiver
        self,
        source: Source,
        delivery: Delivery,
        letter: Letter,
        route: _Route,
        text: str,
        files: tuple[OutgoingFile, ...],
    ) -> Result:
        receiver = route.session or await self._open(route.agent_group)
        own, other = source.conversation.session.id, receiver.session.id
        exchanged = 0
        if own != other:
            exchanged = await source.inbound.run(agent_messages.received, other, self.clock.now())
        said = AgentMessage(
            message_out_id=delivery.id,
            source_session_id=own,
            sender_group_id=source.conversation.agent_group.id,
            sender_name=route.sender_name,
            text=text,
            causation_id=letter.chain.causation_id,
            hops=letter.chain.hops,
            exchanged=exchanged,
            attachments=tuple(map(_attachment, files)),
        )
        outcome = await self.inbox.accept_from_agent(receiver, said)
        if outcome.cut:
            return Undeliverable(outcome.cut)
        return Delivered(Receipt(f"{other}/{said.message_id}"))

    async def _open(self, group: AgentGroup) -> Conversation:
        """Open the session without a chat of an agent that has none."""
        session = await self.registry.ask(OpenSession(group.id, None, None))
        return Conversation(session, group, None)


def _route(
    connection: Connection, sender: Conversation, address: Address, letter: Letter
) -> _Route | Undeliverable:
    """Find the receiver in the central database. Only this database decides who may write to whom.

    An answer goes back to the session that asked. Any other message needs a destination, and goes to the
    agent's session without a chat.
    """
    own = agent_groups.get(connection, sender.agent_group.id) or sender.agent_group
    if letter.asked_by is not None and letter.asked_from == Address(*_place(address)):
        asked = sessions.get(connection, letter.asked_by)
        if asked is None or asked.status == "archived":
            return Undeliverable("the conversation that asked is over")
        found = conversation(connection, asked)
        return _Route(own.name, found.agent_group, found)
    if not destinations.allows(connection, own.id, address):
        return DeliveryRefused(f"agent:{address.platform_id} is not a destination of this agent")
    group = agent_groups.get(connection, address.platform_id)
    if group is None:
        return Undeliverable("this agent no longer exists")
    shared = sessions.find_shared(connection, group.id)
    return _Route(own.name, group, conversation(connection, shared) if shared else None)


def _place(address: Address) -> tuple[str, str]:
    return address.channel_type, address.platform_id


def _text(content: OutgoingContent) -> str:
    match content:
        case TextContent(text=text):
            return text
        case CardContent(fallback_text=text):
            return text
        case _:
            raise BadContent("agents accept messages and cards only, not questions, edits or reactions")


def _attachment(file: OutgoingFile) -> Attachment:
    return Attachment("file", file.name, path=file.path)
