"""Delivers rows to chats: checks them by contract 4 and 6, then asks the channel.

This writes nothing. The result of the attempt is a value, which the session commits.
"""

from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import structlog
from attrs import evolve, frozen

from actors import ActorError, Ref, Refusal
from nanoclaw.approvals import QuestionRefused, close, closing_of, record, withdraw
from nanoclaw.channels.chat_sender import OutcomeUnknown
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Unattended
from nanoclaw.channels.senders import ChannelDown, Senders
from nanoclaw.dispatch.outgoing import Outbox
from nanoclaw.records import (
    Address,
    EditContent,
    Outgoing,
    QuestionContent,
    ReactionContent,
    answer_id,
)
from nanoclaw.records.content import BadContent
from nanoclaw.registry import NoteCard, Registry
from nanoclaw.session import outcomes
from nanoclaw.session.dispatch import Source
from nanoclaw.session.outcomes import Delivered, DeliveryRefused, Held, Later, Result, Undeliverable
from nanoclaw.session.queue import Delivery
from nanoclaw.store import Reader, StoreError
from nanoclaw.store.central import destinations
from nanoclaw.store.session import messages_in
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.store.session.outbox import BadAttachment
from nanoclaw.store.session.platform_ids import NoSuchMessage, platform_id
from nanoclaw.system.clock import Clock
from nanoclaw.system.foreign import text_of

MAX_REASON = 500
"""Limit of a channel's error text in characters."""

_log = structlog.get_logger()


@frozen
class ToChats:
    """Delivers to chats, through the senders of their channels."""

    central: Reader
    registry: Ref[Registry]
    senders: Senders
    outbox: Outbox
    clock: Clock

    async def attempt(
        self, source: Source, delivery: Delivery, row: MessageOut, address: Address | None
    ) -> tuple[Delivery, Result]:
        """Deliver the row, if that is allowed. Return the delivery, with the message that it answers."""
        if row.in_reply_to and delivery.reply_to is None:
            found = await source.inbound.run(messages_in.answered, row.in_reply_to)
            delivery = evolve(delivery, reply_to=found.platform_message_id, scheduled_at=found.scheduled_at)
        if address is None:
            reason = "the row names no address, and the session has no chat of its own"
            return delivery, self._hold(source, delivery, reason)
        return delivery, await self._attempt(source, delivery, row, address)

    async def _attempt(self, source: Source, delivery: Delivery, row: MessageOut, address: Address) -> Result:
        if not await self._allowed(source, row, address):
            return DeliveryRefused(
                f"{address.channel_type}:{address.platform_id} is not a destination of this agent"
            )
        async with AsyncExitStack() as files:
            try:
                outgoing = await self._outgoing(source, delivery, row, address, files)
            except (BadContent, BadAttachment, NoSuchMessage) as error:
                return DeliveryRefused(str(error))
            if isinstance(outgoing.content, QuestionContent):
                return await self._ask(source, delivery, outgoing, outgoing.content)
            return await self._send(source, delivery, outgoing)

    async def _allowed(self, source: Source, row: MessageOut, address: Address) -> bool:
        conversation = source.conversation
        if row.id.startswith(NOTICE) or conversation.owns(address):
            return True
        return await self.central.run(destinations.allows, conversation.agent_group.id, address)

    async def _outgoing(
        self,
        source: Source,
        delivery: Delivery,
        row: MessageOut,
        address: Address,
        stack: AsyncExitStack,
    ) -> Outgoing:
        content, files = await stack.enter_async_context(self.outbox.opened(source.conversation, row))
        if isinstance(content, EditContent | ReactionContent):
            own = source.conversation.chat
            id_ = await source.inbound.run(platform_id, content.message_id, address, own)
            content = evolve(content, message_id=id_)
        return Outgoing(
            delivery.id,
            address,
            content,
            delivery.reply_to,
            files,
            written_at=row.written_at,
            scheduled_at=delivery.wanted_at or delivery.scheduled_at,
            author=source.conversation.agent_group.name,
        )

    # -- questions

    async def _ask(
        self, source: Source, delivery: Delivery, outgoing: Outgoing, question: QuestionContent
    ) -> Result:
        """Send a question. It is recorded first, so that an answer always finds it."""
        try:
            await self._record(source, delivery, outgoing.address, question)
            result = await self._send(source, delivery, outgoing)
            if isinstance(result, Delivered):
                await self._note_card(outgoing, question, result)
            if isinstance(result, Undeliverable) and not (result.doubtful or delivery.doubts):
                await withdraw(self.registry, question.question_id)
        except (ActorError, StoreError) as error:
            return self._hold(source, delivery, f"the question cannot be recorded: {error}")
        except (QuestionRefused, Refusal) as error:
            return DeliveryRefused(str(error))
        return result

    async def _note_card(self, outgoing: Outgoing, question: QuestionContent, sent: Delivered) -> None:
        """Note the platform's id of a card that the channel can edit. Without it the card stays as it is."""
        id_ = sent.receipt.platform_message_id
        if id_ is None or not self.senders.edits_cards(outgoing.address.channel_type):
            return
        try:
            await self.registry.ask(NoteCard(question.question_id, outgoing.message_out_id, id_))
        except (ActorError, StoreError) as error:  # the card is delivered: it must not be sent again
            _log.warning("questions.card_not_noted", question=question.question_id, reason=str(error))

    async def _record(
        self, source: Source, delivery: Delivery, address: Address, question: QuestionContent
    ) -> None:
        await record(
            self.central,
            self.registry,
            session_id=source.conversation.session.id,
            message_out_id=delivery.id,
            address=address,
            question=question,
        )
        # Checked after the question is recorded: from then on the router deletes it with its answer.
        if not delivery.doubts:
            return
        there = await source.inbound.run(messages_in.content_of, answer_id(delivery.id))
        if there is not None:
            await close(self.registry, closing_of(question, there))

    # -- the channel

    async def _send(self, source: Source, delivery: Delivery, outgoing: Outgoing) -> Result:
        rules = source.rules
        try:
            return Delivered(await self.senders.deliver(outgoing, doubtful=delivery.doubts > 0))
        except DeliveryRejected as error:
            return Undeliverable(f"the channel refuses it: {_error_text(error)}")
        except ChannelDown as error:
            return self._hold(source, delivery, _error_text(error))
        except Unattended as error:
            return Held(_error_text(error))
        except ChannelUnavailable as error:
            # A channel that is not down has a condition of its own, which no number of attempts ends.
            delayed = outcomes.back_off if error.condition == "down" else outcomes.hold
            return delayed(delivery, _error_text(error), self._now(), rules, error.retry_after)
        except OutcomeUnknown as error:
            again_at = self._now() + timedelta(seconds=outcomes.delay(delivery.attempts, rules))
            return outcomes.doubt(delivery, _error_text(error), again_at, rules)

    def _hold(self, source: Source, delivery: Delivery, reason: str) -> Later:
        return outcomes.hold(delivery, reason, self._now(), source.rules)

    def _now(self) -> datetime:
        return self.clock.now()


def _error_text(error: Exception) -> str:
    """Return a channel's error text, shortened and safe for a database."""
    return text_of(error)[:MAX_REASON]
