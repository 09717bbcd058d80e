"""Shows the drafts of a session's runner: the text so far of the answer that a turn is writing.

This task reads the draft file and passes it to the channel as a hint. It changes no state and no database, so
a lost draft loses nothing. A hostile runner writes the file: the session's state decides where a draft may be
shown and until when.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.senders import Senders
from nanoclaw.records import Address
from nanoclaw.session.queue import Delivery
from nanoclaw.session.state import SessionState
from nanoclaw.store.session.draft_file import read_draft

INTERVAL_S = 0.05
"""Shortest interval in seconds between two reads of the file."""

Claims = Mapping[str, datetime]
"""The claimed messages, with the times at which the claims were first seen: they stand for a turn."""


@frozen
class _Shown:
    """A draft that its chat may show now."""

    address: Address
    claims: Claims


@define(eq=False)
class Drafts:
    """The task. It has at most one draft in flight, and skips those that a newer one has replaced."""

    file: Path
    senders: Senders
    state: Callable[[], SessionState]
    """Returns the session's present state."""
    _news: trio.Event = Factory(trio.Event)
    _unread: bool = False
    """True if the file was replaced since it was read."""
    _shown: _Shown | None = None

    def replaced(self) -> None:
        """Read the file soon. Synchronous."""
        self._unread = True
        self._news.set()

    def round_ended(self) -> None:
        """Check if the claims have changed. Synchronous."""
        if self._unread or self._shown is not None:
            self._news.set()

    def delivering(self, delivery: Delivery) -> None:
        """Note that a message is about to take the place of the draft in its chat. Synchronous."""
        if self._shown is not None and self._goes_to(delivery, self._shown.address):
            self._shown = None

    async def run(self) -> None:
        """Show drafts, until cancelled."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            await self._remove_old()
            if self._unread and self._allowed():
                await self._show()
                await trio.sleep(INTERVAL_S)

    async def _show(self) -> None:
        self._unread = False
        claims = self.state().messages.claimed
        draft = read_draft(self.file)
        if draft is None or draft.address not in self._allowed():
            return
        before, self._shown = self._shown, _Shown(draft.address, claims) if draft.text else None
        if before is not None and before.address != draft.address:
            await self._remove(before.address)
        if draft.text or before is not None:
            await self.senders.draft(draft.address, draft.text, partial(self._is_open, claims))

    async def _remove_old(self) -> None:
        """Remove the draft of a turn that is over, unless a message to that chat replaces it."""
        shown = self._shown
        if shown is None or self._is_open(shown.claims):
            return
        self._shown = None
        if not self._is_replaced(shown.address):
            await self._remove(shown.address)

    async def _remove(self, address: Address) -> None:
        await self.senders.draft(address, "", lambda: not self._is_replaced(address))

    # -- the session's state

    def _allowed(self) -> frozenset[Address]:
        """Return the addresses that may show a draft now: the own chat, and those of claimed messages."""
        state = self.state()
        messages = state.messages
        claimed = [messages.open[id_].address for id_ in messages.claimed if id_ in messages.open]
        places = {*claimed, state.rules.chat} if claimed else set[Address | None]()
        return frozenset(
            each for each in places if each is not None and self.senders.shows_drafts(each.channel_type)
        )

    def _is_open(self, claims: Claims) -> bool:
        """Return True if one of these claims still holds."""
        claimed = self.state().messages.claimed
        return any(claimed.get(id_) == began for id_, began in claims.items())

    def _is_replaced(self, address: Address) -> bool:
        """Return True if a message to this address is being delivered, or waits for that."""
        queue = self.state().deliveries.queue
        flying = [] if queue.in_flight is None else [queue.in_flight]
        return any(self._goes_to(each, address) for each in (*flying, *queue.waiting))

    def _goes_to(self, delivery: Delivery, address: Address) -> bool:
        return not delivery.is_request and (delivery.address or self.state().rules.chat) == address
