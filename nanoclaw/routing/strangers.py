"""Holds messages of senders and chats that nobody has let in, and delivers them when somebody has."""

from datetime import datetime, timedelta
from typing import Literal, Protocol

import structlog
import trio
from attrs import frozen

from actors import ActorError, Ref
from nanoclaw.records import MessagingGroup, NotAccepted, Webhook
from nanoclaw.registry import Changes, Registry
from nanoclaw.routing.access import refusal
from nanoclaw.routing.holding import MOST_BYTES, TOO_LARGE, TOO_LONG, Hold, NotHeld, RemoveHeld
from nanoclaw.routing.plan import Plan, Routable, sender_of
from nanoclaw.routing.waiting_files import WaitingFiles
from nanoclaw.routing.withdrawing import WithdrawNeedless, needless
from nanoclaw.store import Connection, Reader, StoreError
from nanoclaw.store.central import held_messages, messaging_groups, wirings
from nanoclaw.system.clock import Clock

RETRY_S = 60.0
"""Delay before a delivery that failed is tried again."""
LONGEST_S = 3600.0
"""Longest time between two looks at what is overdue."""

_log = structlog.get_logger()


@frozen
class Strangers:
    """Asks for senders and chats, and holds what they write until somebody decides."""

    _registry: Ref[Registry]
    _most: int
    _files: WaitingFiles

    def may_ask(self, event: Routable, found: Plan, now: datetime) -> bool:
        """Return whether somebody is asked to wire an unknown chat: the assistant is addressed in it."""
        rejected = found.rejected is not None and found.rejected.holds(now)
        if rejected or isinstance(event, Webhook) or event.message.sender_id is None:
            return False
        return not event.is_group or event.message.is_mention

    async def hold(
        self, event: Routable, found: Plan, agents: tuple[str, ...]
    ) -> Literal["held", "changed"] | NotHeld:
        """Hold an event for these agents, or until its chat has one; see `Hold`."""
        sender, chat = sender_of(event), found.chat
        if isinstance(event, Webhook) or sender is None or chat is None:
            return "changed"
        size = self._files.size(event)
        if size > MOST_BYTES:
            return NotHeld(TOO_LARGE)
        async with self._files.kept(event) as kept:
            return await self._registry.ask(Hold(kept, sender, chat.id, agents, self._most, size))


class Deliverer(Protocol):
    """Delivers held messages. The router implements it."""

    async def deliver_held(self, messaging_group_id: str, user_id: str | None = None, /) -> None:
        """See `Router.deliver_held`."""
        ...


@frozen
class HeldKeeper:
    """Delivers held messages when rights change, and drops those that waited too long.

    Requests that need no decision any more are withdrawn.
    """

    _router: Deliverer
    _registry: Ref[Registry]
    _central: Reader
    _changes: Changes
    _clock: Clock
    _held_s: float

    async def run(self) -> None:
        """Look at the start, when rights change and when messages become overdue, until cancelled."""
        while True:
            wait_s = RETRY_S
            try:
                wait_s = await self._look()
            except (StoreError, ActorError, NotAccepted) as error:
                _log.warning("routing.held_not_delivered", reason=str(error), retry_s=RETRY_S)
            with trio.move_on_after(wait_s):
                await self._changes.admitted()

    async def _look(self) -> float:
        """Drop what is overdue, deliver what need not wait, and withdraw requests about it.

        Return the seconds until the next look.
        """
        limit = timedelta(seconds=self._held_s)
        while overdue := await self._central.run(held_messages.overdue, self._clock.now() - limit):
            await self._registry.ask(RemoveHeld(overdue, TOO_LONG))
        for chat, user in await self._central.run(_free, self._clock.now()):
            await self._router.deliver_held(chat, user)
        if await self._central.run(needless):
            await self._registry.ask(WithdrawNeedless())
        oldest = await self._central.run(held_messages.oldest)
        if oldest is None:
            return LONGEST_S
        left = (oldest + limit - self._clock.now()).total_seconds()
        return min(max(left, 1.0), LONGEST_S)


def _free(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """Return the chats and senders of whom something is held that need not wait any longer."""
    return [
        (chat.id, each.user_id)
        for each in held_messages.waiting(connection)
        if (chat := messaging_groups.get(connection, each.messaging_group_id)) is not None
        and not _all_wait(connection, chat, each.user_id, now)
    ]


def _all_wait(connection: Connection, chat: MessagingGroup, user_id: str, now: datetime) -> bool:
    agents = held_messages.waiting_agents(connection, chat.id, user_id)
    if "" in agents and wirings.for_chat(connection, chat.id):
        return False
    refused = [refusal(connection, chat, agent, user_id) for agent in agents if agent]
    return all(each is not None and each.waits(now) for each in refused)
