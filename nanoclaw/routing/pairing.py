"""Pairing: the router's look at messages that may be the code of an owner, and the answers in their chats.

No agent and no log gets such a message. That somebody has paired is in `v2.db`, with the answer that their
chat has yet to get. So the answer is sent also after a crash. Answers to wrong codes are sent at most once.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

import structlog
import trio
from attrs import Factory, define, field

from actors import ActorError, Ref
from nanoclaw.channels.chat_sender import OutcomeUnknown
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.senders import Senders
from nanoclaw.records import Address, Outgoing, Routed, Said, TextContent
from nanoclaw.records.pairing import PairingCode, TryVerdict, code_in
from nanoclaw.registry import Changes, ExpireShownCode, PairingAnswered, Registry, TryPairingCode
from nanoclaw.store import Reader, StoreError
from nanoclaw.store.central import pairing_codes
from nanoclaw.system.clock import Clock

AGAIN_S, AGAIN_AT_MOST_S = 2.0, 300.0
"""Delay in seconds before an answer is sent again. It doubles up to the limit."""
GIVE_UP_AFTER = timedelta(days=1)
"""How long the answer is offered to a channel that is down."""
MOST_ANSWERS = 10
"""Limit of answers to wrong codes that wait. Those above it are not sent."""

_NEW = "Make a new one on the host with `nanoclaw channels pair`."
ANSWERS: Mapping[TryVerdict, str] = {
    "wrong": f"This is not the code. {_NEW}",
    "expired": f"This code has expired. {_NEW}",
    "used": f"This code was used before. {_NEW}",
    "too many": f"There were too many wrong codes. {_NEW}",
}
SHOWN = f"A code counts only as a message of its own in a direct chat. This one is void now. {_NEW}"
DROPPED: Mapping[TryVerdict, str] = {
    "paired": "the message was a code, and its sender is paired",
    "again": "the sender has paired with this code before",
    "wrong": "the message was a wrong code for pairing",
    "expired": "the code for pairing has expired",
    "used": "the code for pairing was used before",
    "too many": "there were too many wrong codes for pairing",
}

_log = structlog.get_logger()


def possible_code(event: object) -> str | None:
    """Return the code that a message may be."""
    return code_in(event.message.text) if isinstance(event, Said) else None


def _is_private(event: Said) -> bool:
    """Return True for a message that pairs its sender if it is the code: others get no other to see."""
    message = event.message
    return not (event.is_group or message.sender_id is None or message.attachments)


@define(eq=False)
class Pairing:
    """Compares codes, and answers in the chats of those who typed them."""

    _central: Reader
    _registry: Ref[Registry]
    _changes: Changes
    _senders: Senders
    _clock: Clock
    _send: trio.MemorySendChannel[tuple[Address, str, str]] = field(init=False)
    _receive: trio.MemoryReceiveChannel[tuple[Address, str, str]] = field(init=False)
    _delays: dict[str, float] = field(init=False, default=Factory(dict))

    def __attrs_post_init__(self) -> None:
        """Open the queue of answers to wrong codes."""
        self._send, self._receive = trio.open_memory_channel[tuple[Address, str, str]](MOST_ANSWERS)

    async def waits(self, channel_type: str) -> bool:
        """Return True if the channel has a code, used or not."""
        return await self._central.run(pairing_codes.get, channel_type) is not None

    async def shown(self, event: Said, code: str) -> Routed | None:
        """Make a code void that others may have seen. Return None for an ordinary message."""
        channel = event.address.channel_type
        if _is_private(event) or not await self._registry.ask(ExpireShownCode(channel, code)):
            return None
        _log.warning("pairing.code_shown", channel=channel, sender=event.message.sender_id)
        self._answer(event, SHOWN)
        return Routed(dropped="the message was a code that others may have seen: it is void now")

    async def tried(self, event: Said, code: str, messaging_group_id: str) -> Routed | None:
        """Compare a code, and pair its sender if it is right. Return None for an ordinary message."""
        if not _is_private(event):
            return None
        sender = event.message.sender_id or ""
        verdict = await self._registry.ask(TryPairingCode(messaging_group_id, sender, code))
        if verdict == "none":
            return None
        _log.info("pairing.tried", channel=event.address.channel_type, sender=sender, verdict=verdict)
        if verdict in ANSWERS:
            self._answer(event, ANSWERS[verdict])
        return Routed(dropped=DROPPED[verdict])

    def _answer(self, event: Said, text: str) -> None:
        with suppress(trio.WouldBlock):
            self._send.send_nowait((event.address, f"pairing-{event.message_id}", text))

    # -- the answers

    async def run(self) -> None:
        """Send answers until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answer_wrong_codes)
            while True:
                wait_s = await self._round()
                with trio.move_on_after(wait_s):
                    await self._changes.paired()

    async def _answer_wrong_codes(self) -> None:
        async for address, key, text in self._receive:
            try:
                await self._senders.deliver(Outgoing(key, address, TextContent(text)))
            except (DeliveryRejected, ChannelUnavailable, OutcomeUnknown) as error:
                _log.info("pairing.not_answered", channel=address.channel_type, reason=str(error))

    async def _round(self) -> float:
        """Send the answers that wait. Return the seconds until the next attempt."""
        try:
            waits = [await self._answered(each) for each in await self._central.run(pairing_codes.unanswered)]
        except (StoreError, ActorError) as error:
            _log.warning("pairing.not_read", reason=str(error), again_in_s=AGAIN_S)
            return AGAIN_S
        return min([each for each in waits if each is not None], default=float("inf"))

    async def _answered(self, code: PairingCode) -> float | None:
        """Send one answer. Return the seconds until it is tried again, or None if there is no more to do."""
        delivery = Outgoing(
            f"pairing-{code.code_hash[:16]}",
            Address(code.channel_type, code.platform_id or ""),
            TextContent(code.answer or "", markdown=True),
        )
        try:
            await self._senders.deliver(delivery, doubtful=code.code_hash in self._delays)
        except (ChannelUnavailable, OutcomeUnknown) as error:
            if self._may_repeat(code, error):
                return self._later(code, str(error))
        except DeliveryRejected as error:
            _log.info("pairing.not_answered", channel=code.channel_type, reason=str(error))
        self._delays.pop(code.code_hash, None)
        await self._registry.ask(PairingAnswered(code.channel_type, code.code_hash))
        return None

    def _may_repeat(self, code: PairingCode, error: Exception) -> bool:
        since = code.used_at or code.created_at
        unsure = isinstance(error, OutcomeUnknown) and self._senders.repeat(code.channel_type) == "never"
        return not unsure and self._clock.now() < since + GIVE_UP_AFTER

    def _later(self, code: PairingCode, reason: str) -> float:
        delay_s = min(2 * self._delays.get(code.code_hash, AGAIN_S / 2), AGAIN_AT_MOST_S)
        self._delays[code.code_hash] = delay_s
        _log.info("pairing.answer_waits", channel=code.channel_type, reason=reason, again_in_s=delay_s)
        return delay_s
