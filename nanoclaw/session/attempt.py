"""One attempt to deliver one outbound row: every check of contract 4 and 6, then the channel.

Nothing is written here; what became of the attempt is a value, and its recorder commits it.
"""

from datetime import datetime, timedelta
from math import isnan

from attrs import frozen

from actors import ActorError, Refusal
from nanoclaw.approvals import QuestionRefused, record, withdraw
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.senders import ChannelDown, OutcomeUnknown
from nanoclaw.content import BadContent, load_outgoing, storable
from nanoclaw.records import Address, Outgoing, QuestionContent, Receipt, TextContent, answer_id
from nanoclaw.session.queue import Delivery
from nanoclaw.session.services import Conversation, Services
from nanoclaw.store import StoreError, Writer, destinations, messages_in
from nanoclaw.store.deliveries import NOTICE
from nanoclaw.store.outbound import InvalidRow, MessageOut
from nanoclaw.store.outbox import BadAttachment, read_files

LEAST_HOLD_S = 0.2
"""Between looks for a channel, also where the back-off is configured to be none."""
MAX_REASON = 500
"""Characters of a channel's words that are kept."""
LONGEST_RETRY_S = 86_400.0
"""A channel that asks for a longer pause is not believed."""


@frozen
class Delivered:
    """The channel's receipt."""

    receipt: Receipt


@frozen
class Undeliverable:
    """It will never be delivered; where that is `doubtful`, it may have been."""

    reason: str
    doubtful: bool = False


@frozen
class Refused(Undeliverable):
    """It breaks the contract: the runner is to blame, not the channel."""


@frozen
class Later:
    """Not now; nothing was sent. `asked`: a channel said so, and is not asked for ever."""

    reason: str
    not_before: datetime
    asked: bool = True


@frozen
class Unknown:
    """It may have been sent; it is sent again at `not_before`."""

    reason: str
    not_before: datetime


Result = Delivered | Undeliverable | Later | Unknown


@frozen
class Attempter:
    """Makes attempts for one session."""

    services: Services
    who: Conversation
    inbound: Writer
    """Only read here."""

    async def attempt(self, delivery: Delivery) -> Result:
        """Deliver, if it may be."""
        row = delivery.row
        if isinstance(row, InvalidRow):
            return Refused(f"the row breaks the contract: {row.reason}")
        address = row.address or self.who.chat
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
        if row.id.startswith(NOTICE) or self.who.owns(address):
            return True
        return await self.services.central.run(destinations.allows, self.who.agent_group.id, address)

    async def _outgoing(self, delivery: Delivery, row: MessageOut, address: Address) -> Outgoing:
        key, reply_to = delivery.id, delivery.reply_to
        content = load_outgoing(row.content)
        if not isinstance(content, TextContent) or not content.files:
            return Outgoing(key, address, content, reply_to)
        outbox = self.who.paths(self.services.config).outbox
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
            session_id=self.who.session.id,
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
            return self._back_off(delivery, _words(error), error.retry_after)
        except OutcomeUnknown as error:
            return self.doubt(delivery, _words(error), self._delay(delivery.attempts))

    def _hold(self, delivery: Delivery, reason: str) -> Later:
        """It has nowhere to go yet: it waits for that, however long, and says why."""
        delivery.held += 1
        delay_s = max(LEAST_HOLD_S, self._delay(delivery.held))
        return Later(reason, self._after(delay_s), asked=False)

    def _back_off(self, delivery: Delivery, reason: str, retry_after: object) -> Result:
        if delivery.attempts > len(self.services.config.delivery_backoff_s):
            return Undeliverable(f"given up after {delivery.attempts} attempts: {reason}")
        if not isinstance(retry_after, int | float) or isnan(retry_after):
            return Later(reason, self._after(self._delay(delivery.attempts)))
        return Later(reason, self._after(min(max(retry_after, 0.0), LONGEST_RETRY_S)))

    def _delay(self, attempts: int) -> float:
        schedule = self.services.config.delivery_backoff_s
        return schedule[min(attempts, len(schedule)) - 1] if schedule else 0.0

    def doubt(self, delivery: Delivery, reason: str, delay_s: float) -> Result:
        """What becomes of an attempt whose outcome is unknown: the channel's policy decides."""
        address = delivery.address or self.who.chat
        repeat = self.services.senders.repeat(address.channel_type) if address else "again"
        limit = {"never": 0, "again": 1}.get(repeat, len(self.services.config.delivery_backoff_s))
        if delivery.doubts >= limit:
            unknown = f"unknown whether it was sent, after {delivery.attempts} attempts: {reason}"
            return Undeliverable(unknown, doubtful=True)
        return Unknown(reason, self._after(delay_s))

    def _after(self, seconds: float) -> datetime:
        return self.services.clock.now() + timedelta(seconds=seconds)


def _words(error: Exception) -> str:
    """What a channel says, short, and such that a database takes it."""
    return storable(str(error)[:MAX_REASON])
