"""Shows an approval to one person, and edits the card when it is decided.

Each attempt is on disk before the channel is asked. After an unknown outcome, the channel's `repeat` decides.
"""

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256

import structlog
from attrs import evolve, frozen

from actors import Ref
from nanoclaw.approvals import words
from nanoclaw.channels.chat_sender import OutcomeUnknown
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Unattended
from nanoclaw.channels.senders import ChannelDown, Senders
from nanoclaw.records import (
    Address,
    ApprovalCard,
    EditContent,
    Outgoing,
    OutgoingContent,
    PendingApproval,
    Receipt,
    TextContent,
)
from nanoclaw.registry import Registry, StoreCard
from nanoclaw.system.clock import Clock
from nanoclaw.system.foreign import text_of

MAX_REASON = 500
TOO_LATE = "it was decided before the card was sent"

_log = structlog.get_logger()


@frozen
class Shown:
    """An approval with one of its cards, as they were read."""

    card: ApprovalCard
    approval: PendingApproval
    decider: str | None = None
    """The name of who decided."""

    @property
    def key(self) -> str:
        """The idempotency key of the card for its channel, without the state that it shows."""
        user = sha256(self.card.user_id.encode(errors="surrogatepass")).hexdigest()[:12]
        return f"card-{self.card.approval_id}-{user}"

    @property
    def state(self) -> str:
        """The state of the approval that the card must show."""
        return words.state_of(self.approval)


@frozen
class CardSender:
    """Makes the attempts of cards."""

    registry: Ref[Registry]
    senders: Senders
    clock: Clock
    backoff_s: Sequence[float]
    zone: str

    async def show(self, shown: Shown) -> bool:
        """Make one attempt. Return False if the card is held, because nobody is there to be shown it.

        Raises:
            StoreError, ActorError: the ledger cannot be written now.
        """
        card = shown.card
        interrupted = card.status == "sending"
        if interrupted:  # the host died during the attempt
            card = evolve(card, doubts=card.doubts + 1)
        first = not card.shows
        if first and shown.state != "pending" and not self._can_repeat(card):
            await self._store(shown.card, evolve(card, status="failed", error=TOO_LATE))
            return True
        if interrupted and not self._may_repeat(card, first=first):
            await self._store(shown.card, self._given_up(shown, card, "the host ended while it was sent"))
            return True
        begun = evolve(
            card,
            status="sending",
            attempts=card.attempts + 1,
            next_attempt=None,
            started_at=self.clock.now(),
        )
        if not await self._store(shown.card, begun):
            return True
        return await self._attempt(evolve(shown, card=begun), first=first)

    async def _attempt(self, shown: Shown, *, first: bool) -> bool:
        card, now = shown.card, self.clock.now
        before = evolve(card, status="pending" if first else "shown")
        try:
            receipt = await (self._send(shown) if first else self._edit(shown))
        except Unattended as error:
            held = evolve(before, attempts=card.attempts - 1, error=_text(error))
            await self._store(card, held)
            return False
        except ChannelDown as error:
            again = now() + timedelta(seconds=self._delay_s(card.attempts))
            await self._store(card, evolve(before, next_attempt=again, error=_text(error)))
        except DeliveryRejected as error:
            await self._store(card, self._failed(shown, card, f"the channel refuses it: {_text(error)}"))
        except ChannelUnavailable as error:
            await self._store(card, self._later(shown, before, error))
        except OutcomeUnknown as error:
            await self._store(card, self._doubtful(shown, card, _text(error), first=first))
        else:
            await self._store(card, self._shows(shown, card, receipt, first=first))
        return True

    async def _send(self, shown: Shown) -> Receipt:
        card = evolve(words.question(shown.approval), code=shown.card.code)
        return await self._deliver(shown, shown.key, card)

    async def _edit(self, shown: Shown) -> Receipt:
        """Edit the card, or say the same in a message where that is not possible."""
        text = words.decided(shown.approval, shown.decider, self.zone)
        id_, edited = shown.card.platform_message_id, f"{shown.key}-{shown.state}"
        if id_ is not None and self.senders.edits(shown.card.channel_type):
            try:
                return await self._deliver(shown, edited, EditContent(id_, text))
            except DeliveryRejected as error:
                _log.info("approval.card_not_edited", approval=shown.card.approval_id, reason=_text(error))
        return await self._deliver(shown, f"{edited}-text", TextContent(text))

    async def _deliver(self, shown: Shown, id_: str, content: OutgoingContent) -> Receipt:
        card = shown.card
        address = Address(card.channel_type, card.platform_id, card.thread_id)
        return await self.senders.deliver(Outgoing(id_, address, content), doubtful=card.doubts > 0)

    # -- the next state of a card

    def _shows(self, shown: Shown, card: ApprovalCard, receipt: Receipt, *, first: bool) -> ApprovalCard:
        id_ = receipt.platform_message_id if first else card.platform_message_id
        return evolve(
            card,
            status="shown",
            shows="pending" if first else shown.state,
            platform_message_id=id_,
            attempts=0,
            doubts=0,
            error=None,
        )

    def _failed(self, shown: Shown, card: ApprovalCard, reason: str) -> ApprovalCard:
        """Return a card that is not tried again. A card that cannot be edited stays as it is shown."""
        _log.warning(
            "approval.card_failed",
            approval=card.approval_id,
            user=card.user_id,
            shows=card.shows,
            reason=reason,
        )
        if not card.shows:
            return evolve(card, status="failed", error=reason)
        return evolve(card, status="shown", shows=shown.state, attempts=0, doubts=0, error=reason)

    def _given_up(self, shown: Shown, card: ApprovalCard, reason: str) -> ApprovalCard:
        """Return a card that may have been shown, and is not sent again. A click on it counts."""
        if card.shows:
            return self._failed(shown, card, reason)
        return evolve(
            card, status="unknown", shows="pending", error=f"unknown whether it was shown: {reason}"
        )

    def _later(self, shown: Shown, before: ApprovalCard, error: ChannelUnavailable) -> ApprovalCard:
        if before.attempts > len(self.backoff_s):
            return self._failed(shown, before, f"given up after {before.attempts} attempts: {_text(error)}")
        delay_s = max(self._delay_s(before.attempts), min(error.retry_after or 0.0, 86_400.0))
        again = self.clock.now() + timedelta(seconds=delay_s)
        return evolve(before, next_attempt=again, error=_text(error))

    def _doubtful(self, shown: Shown, card: ApprovalCard, reason: str, *, first: bool) -> ApprovalCard:
        card = evolve(card, doubts=card.doubts + 1)
        if not self._may_repeat(card, first=first):
            return self._given_up(shown, card, reason)
        again = self.clock.now() + timedelta(seconds=self._delay_s(card.attempts))
        waits = evolve(card, next_attempt=again, error=reason)
        return evolve(waits, status="unknown") if first else evolve(waits, status="shown")

    def _may_repeat(self, card: ApprovalCard, *, first: bool) -> bool:
        """Return True if an attempt after `doubts` unknown outcomes is allowed. An edit may be repeated."""
        repeat = self.senders.repeat(card.channel_type) if first else "idempotent"
        limit = {"never": 0, "again": 1}.get(repeat, len(self.backoff_s))
        return card.doubts <= limit

    def _can_repeat(self, card: ApprovalCard) -> bool:
        """Return True if a card may have been sent, and sending it again shows it once."""
        sure = self.senders.repeat(card.channel_type) in {"idempotent", "look up"}
        return card.doubts > 0 and sure and card.doubts <= len(self.backoff_s)

    def _delay_s(self, attempts: int) -> float:
        schedule = self.backoff_s
        return schedule[min(attempts, len(schedule)) - 1] if schedule else 1.0

    async def _store(self, before: ApprovalCard, after: ApprovalCard) -> bool:
        return await self.registry.ask(StoreCard(before, after))


def _text(error: Exception) -> str:
    return text_of(error)[:MAX_REASON]
