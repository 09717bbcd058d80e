"""One attempt to deliver one outbound row: every check of contract 4 and 6, then the channel.

Nothing is written here; what became of the attempt is a value, and its recorder commits it.
"""

from datetime import timedelta

from attrs import evolve, frozen

from actors import ActorError, Refusal
from nanoclaw.approvals import QuestionRefused, record, withdraw
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.senders import ChannelDown, OutcomeUnknown
from nanoclaw.content import BadContent, load_outgoing, storable
from nanoclaw.records import Address, Outgoing, QuestionContent, TextContent, answer_id
from nanoclaw.session import outcomes
from nanoclaw.session.outcomes import Delivered, Later, Refused, Result, Undeliverable
from nanoclaw.session.queue import Delivery
from nanoclaw.session.rules import Rules
from nanoclaw.session.services import Conversation, Services
from nanoclaw.store import StoreError, Writer, destinations, messages_in
from nanoclaw.store.deliveries import NOTICE
from nanoclaw.store.outbound import BadRow, MessageOut
from nanoclaw.store.outbox import BadAttachment, read_files

MAX_REASON = 500
"""Characters of a channel's words that are kept."""


@frozen
class Attempter:
    """Makes attempts for one session."""

    services: Services
    conversation: Conversation
    inbound: Writer
    """Only read here."""
    rules: Rules

    async def attempt(self, delivery: Delivery) -> tuple[Delivery, Result]:
        """Deliver the row, if it may be; returns the delivery with what was found out about it on the way."""
        row = delivery.row
        if isinstance(row, MessageOut) and row.in_reply_to and delivery.reply_to is None:
            reply_to = await self.inbound.run(messages_in.platform_message_id, row.in_reply_to)
            delivery = evolve(delivery, reply_to=reply_to)
        return delivery, await self._attempt(delivery)

    async def _attempt(self, delivery: Delivery) -> Result:
        row = delivery.row
        if isinstance(row, BadRow):
            return Refused(f"the row breaks the contract: {row.reason}")
        address = row.address or self.conversation.chat
        if address is None:
            return self._hold(delivery, "the row names no address, and the session has no chat of its own")
        if not await self._allowed(row, address):
            return Refused(f"{address.channel_type}:{address.platform_id} is no destination of this agent")
        try:
            outgoing = await self._outgoing(delivery, row, address)
        except (BadContent, BadAttachment) as error:
            return Refused(str(error))
        if isinstance(outgoing.content, QuestionContent):
            return await self._ask(delivery, outgoing, outgoing.content)
        return await self._send(delivery, outgoing)

    async def _allowed(self, row: MessageOut, address: Address) -> bool:
        if row.id.startswith(NOTICE) or self.conversation.owns(address):
            return True
        return await self.services.central.run(destinations.allows, self.conversation.agent_group.id, address)

    async def _outgoing(self, delivery: Delivery, row: MessageOut, address: Address) -> Outgoing:
        key, reply_to = delivery.id, delivery.reply_to
        content = load_outgoing(row.content)
        if not isinstance(content, TextContent) or not content.files:
            return Outgoing(key, address, content, reply_to)
        outbox = self.conversation.paths(self.services.config).outbox
        files = await self.services.executor.run(
            lambda: read_files(outbox, row.id, content.files), lane="untrusted"
        )
        return Outgoing(key, address, content, reply_to, files)

    async def _ask(self, delivery: Delivery, outgoing: Outgoing, question: QuestionContent) -> Result:
        """Send a question, which waits for its answer before anybody can give one."""
        registry = self.services.registry
        try:
            await self._record(delivery, outgoing.address, question)
            result = await self._send(delivery, outgoing)
            if isinstance(result, Undeliverable) and not (result.doubtful or delivery.doubts):
                await withdraw(registry, question.question_id)
        except (ActorError, StoreError) as error:
            return self._hold(delivery, f"the question cannot be recorded: {error}")
        except (QuestionRefused, Refusal) as error:
            return Refused(str(error))
        return result

    async def _record(self, delivery: Delivery, address: Address, question: QuestionContent) -> None:
        await record(
            self.services.central,
            self.services.registry,
            session_id=self.conversation.session.id,
            message_out_id=delivery.id,
            address=address,
            question=question,
        )
        # After it: of an answer that comes from now on, its question is taken away by the router.
        if delivery.doubts and await self.inbound.run(messages_in.is_stored, answer_id(delivery.id)):
            await withdraw(self.services.registry, question.question_id)

    async def _send(self, delivery: Delivery, outgoing: Outgoing) -> Result:
        try:
            return Delivered(await self.services.senders.deliver(outgoing, doubtful=delivery.doubts > 0))
        except DeliveryRejected as error:
            return Undeliverable(f"the channel refuses it: {_words(error)}")
        except ChannelDown as error:
            return self._hold(delivery, _words(error))
        except ChannelUnavailable as error:
            now = self.services.clock.now()
            return outcomes.back_off(delivery, _words(error), error.retry_after, now, self.rules)
        except OutcomeUnknown as error:
            delay = timedelta(seconds=outcomes.delay(delivery.attempts, self.rules))
            return outcomes.doubt(delivery, _words(error), self.services.clock.now() + delay, self.rules)

    def _hold(self, delivery: Delivery, reason: str) -> Later:
        return outcomes.hold(delivery, reason, self.services.clock.now(), self.rules)


def _words(error: Exception) -> str:
    """What a channel says, short, and such that a database takes it."""
    return storable(str(error)[:MAX_REASON])
