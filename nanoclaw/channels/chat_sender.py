"""The sender of one chat: delivers one message at a time, in order, and passes hints on.

It asks no other actor. While it waits for the network, it delays only its own chat.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import structlog
import trio
from attrs import Factory, define, frozen

from actors import Context, Refusal
from nanoclaw.channels.protocol import (
    Capabilities,
    ChannelUnavailable,
    DeliveryRejected,
    DraftingSender,
    Outcome,
    Sender,
    Unattended,
)
from nanoclaw.channels.receipts import read_receipt, unavailable
from nanoclaw.records import Address, Outgoing, Receipt
from nanoclaw.system.foreign import ForeignError, foreign_code, result_of, text_of

DELIVERY_TIMEOUT_S = 60.0
"""Time limit of a delivery in seconds. After it the outcome is unknown."""
HINT_TIMEOUT_S = 5.0
"""Time limit of a hint in seconds, since messages to the same chat wait behind it."""
DRAFT_TIMEOUT_S = 2.0
"""The same for a draft. The final text may wait behind it."""

_log = structlog.get_logger()


class OutcomeUnknown(Refusal):
    """The network may or may not have the message."""


@define(eq=False)
class ChannelWarnings:
    """The warnings about the code of one channel. Each is logged once; its repeats are for debugging."""

    channel: str
    _logged: set[tuple[str, str]] = Factory(set)

    def warn(self, event: str, method: str, reason: str, error: BaseException | None = None) -> None:
        """Log what a method of the channel did wrong."""
        log = _log.debug if (event, method) in self._logged else _log.warning
        self._logged.add((event, method))
        log(event, channel=self.channel, method=method, reason=reason, exc_info=error)


# -- the actor and its messages ---------------------------------------------------


@define(eq=False)
class ChatSender:
    """Delivers to one chat, one message at a time. A channel error affects only its message or hint."""

    sender: Sender
    capabilities: Capabilities
    warnings: ChannelWarnings


@frozen
class Deliver:
    """Send one message. The reply is the network's receipt."""

    outgoing: Outgoing
    doubtful: bool = False
    """True if it may have been sent before."""
    begun: trio.Event = Factory(trio.Event)
    """Set before the network is asked. From then on the message may have been sent."""

    async def handle(self, actor: ChatSender) -> Receipt:
        """Ask the network, for at most `DELIVERY_TIMEOUT_S`."""
        self.begun.set()
        with trio.move_on_after(DELIVERY_TIMEOUT_S):
            return await self._ask(actor)
        raise OutcomeUnknown(f"the channel did not answer within {DELIVERY_TIMEOUT_S:g} s")

    async def _ask(self, actor: ChatSender) -> Receipt:
        """Ask the network. Copy its refusals with a safe text, because foreign code raised them."""
        try:
            with foreign_code(DeliveryRejected, ChannelUnavailable, trio.TooSlowError):
                there = await self._find(actor)
                return there or self._read(
                    actor, "deliver", await result_of(actor.sender.deliver(self.outgoing))
                )
        except DeliveryRejected as error:
            raise DeliveryRejected(text_of(error)) from error
        except Unattended as error:
            raise Unattended(text_of(error)) from error
        except ChannelUnavailable as error:
            raise unavailable(error) from error
        except trio.TooSlowError as error:
            raise OutcomeUnknown("the channel says that its network did not answer in time") from error
        except ForeignError as error:
            where, message = self.outgoing.address.channel_type, self.outgoing.message_out_id
            _log.warning("channel.failed", channel=where, message=message, exc_info=error.error)
            raise OutcomeUnknown(f"the channel failed while sending: {error}") from error

    async def _find(self, actor: ChatSender) -> Receipt | None:
        """Return the receipt of an earlier attempt, if the network can be asked and has one."""
        if not self.doubtful or actor.capabilities.repeat != "look up":
            return None
        found = await result_of(actor.sender.find(self.outgoing))
        return self._read(actor, "find", found) if found else None

    def _read(self, actor: ChatSender, method: str, returned: object) -> Receipt:
        receipt, wrong = read_receipt(returned)
        if wrong is not None:
            advice = "such messages count as delivered, and cannot be edited; return a Receipt"
            actor.warnings.warn("channel.no_receipt", method, f"{method} {wrong}: {advice}")
        return receipt


async def _hint(
    actor: ChatSender,
    method: str,
    hint: Callable[[Sender], Awaitable[None]],
    within_s: float = HINT_TIMEOUT_S,
) -> None:
    """Pass a hint on, for at most `within_s` seconds. If that fails, the hint is lost."""
    try:
        with trio.move_on_after(within_s), foreign_code():
            await hint(actor.sender)
    except ForeignError as error:
        actor.warnings.warn("channel.hint_failed", method, str(error), error.error)


@frozen
class Typing:
    """Show that the agent is at work."""

    address: Address

    async def handle(self, actor: ChatSender) -> None:
        """Pass the hint on, if the channel wants it."""
        if actor.capabilities.typing:
            await _hint(actor, "typing", lambda sender: sender.typing(self.address))


@frozen
class Settled:
    """Show that a user's message is settled."""

    address: Address
    platform_message_id: str
    outcome: Outcome

    async def handle(self, actor: ChatSender) -> None:
        """Pass the hint on, if the channel wants it."""
        if actor.capabilities.settled:
            await _hint(actor, "settled", self._give)

    async def _give(self, sender: Sender) -> None:
        await sender.settled(self.address, self.platform_message_id, self.outcome)


@frozen
class ShowDraft:
    """Show the text so far of an answer."""

    address: Address
    text: str
    wanted: Callable[[], bool]
    """Returns False if the draft is out of date. Other messages may have come before this one."""

    async def handle(self, actor: ChatSender) -> None:
        """Pass the hint on, if it is still wanted."""
        if self.wanted():
            await _hint(actor, "draft", self._give, DRAFT_TIMEOUT_S)

    async def _give(self, sender: Sender) -> None:
        await cast("DraftingSender", sender).draft(self.address, self.text)


def chat_recipe(
    chat: ChatSender,
) -> Callable[[Context[ChatSender]], AbstractAsyncContextManager[ChatSender]]:
    """Return the recipe of a chat's sender."""

    @asynccontextmanager
    async def recipe(_context: Context[ChatSender]) -> AsyncIterator[ChatSender]:
        yield chat

    return recipe
