"""Messages to the registry about held messages, which wait until their sender or their chat is let in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import structlog
from attrs import field, frozen

from nanoclaw.approvals.kind import Asked
from nanoclaw.approvals.kinds.chat import ADMIT_CHAT
from nanoclaw.approvals.kinds.sender import ADMIT_SENDER, drop_held
from nanoclaw.records import HeldMessage, MessagingGroup, Said
from nanoclaw.records.content import dump_parked
from nanoclaw.registry import ActionRefused, Registry
from nanoclaw.routing.access import refusal
from nanoclaw.store import Connection
from nanoclaw.store.central import (
    held_messages,
    messaging_groups,
    refusals,
    wirings,
)

MIB = 1 << 20
MOST_BYTES = 16 * MIB
"""Limit of what is held of one sender in a chat, with attachments."""
MOST_BYTES_IN_ALL = 256 * MIB
MOST_IN_ALL = 5000
"""Limit of held messages of all senders."""
TOO_MANY = "held_too_many"
TOO_LARGE = "held_too_large"
TOO_MUCH = "held_too_much_in_all"
NOT_ASKED = "too_many_requests"
TOO_LONG = "held_too_long"
"""Reasons for dropping messages that nobody has decided about."""

_log = structlog.get_logger()


@frozen
class NotHeld:
    """The reason why a message is dropped instead."""

    reason: str


@frozen
class Hold:
    """Hold a message, and ask somebody to let its sender in (`agents`), or its chat (no agents)."""

    event: Said = field(repr=False)
    sender: str
    messaging_group_id: str
    agents: tuple[str, ...]
    most: int
    """Limit of messages of a sender in a chat."""
    file_bytes: int = 0
    """The bytes of its files that are not in the event itself."""

    async def handle(self, actor: Registry) -> Literal["held", "changed"] | NotHeld:
        """Store message and request in one transaction. A message that is held already is not stored again.

        Return "changed" if the sender or the chat does not wait any more: rights were given or taken.
        """
        id_ = actor.new_id("appr", self.messaging_group_id, self.sender, *self.agents)
        held = await actor.commit(self._hold, actor, id_)
        actor.changes.tell_approvals()
        return held

    def _hold(
        self, connection: Connection, actor: Registry, id_: str
    ) -> Literal["held", "changed"] | NotHeld:
        now = actor.clock.now()
        chat = messaging_groups.require(connection, self.messaging_group_id)
        if not self._waits(connection, chat, now):
            return "changed"
        there = held_messages.by_message(connection, self.event.message_id)
        if there is not None:
            held_messages.wait_for(connection, there.id, self.agents)
        if there is None and (reason := self._excess(connection)):
            return NotHeld(reason)
        try:
            with connection:  # a savepoint
                if there is None:
                    self._store(connection, now)
                actor.approvals.request(connection, self._asked(), id_, now)
        except ActionRefused as error:
            _log.warning("routing.not_asked", chat=chat.platform_id, sender=self.sender, reason=str(error))
            return NotHeld(NOT_ASKED) if there is None else "held"
        return "held"

    def _waits(self, connection: Connection, chat: MessagingGroup, now: datetime) -> bool:
        if not self.agents:
            rejected = refusals.of_chat(connection, chat.id)
            return not wirings.for_chat(connection, chat.id) and not (rejected and rejected.holds(now))
        found = [refusal(connection, chat, agent, self.sender) for agent in self.agents]
        return all(each is not None and each.waits(now) for each in found)

    def _store(self, connection: Connection, now: datetime) -> None:
        event, where, id_ = dump_parked(self.event), self.messaging_group_id, self.event.message_id
        size = len(event.encode()) + self.file_bytes
        held_messages.hold(connection, HeldMessage(0, id_, where, self.sender, event, size, self.agents, now))

    def _excess(self, connection: Connection) -> str | None:
        """Return the limit that the message would exceed, or None."""
        size = len(dump_parked(self.event).encode()) + self.file_bytes
        own = held_messages.amount(connection, self.messaging_group_id, self.sender)
        of_all = held_messages.amount(connection)
        if own.messages >= self.most:
            return TOO_MANY
        if own.bytes + size > MOST_BYTES:
            return TOO_LARGE
        if of_all.messages >= MOST_IN_ALL or of_all.bytes + size > MOST_BYTES_IN_ALL:
            return TOO_MUCH
        return None

    def _asked(self) -> Asked:
        message = self.event.message
        values = {
            "chat": self.messaging_group_id,
            "user": self.sender,
            "name": message.sender,
            "agents": list(self.agents),
            "text": message.text,
        }
        action = ADMIT_SENDER if self.agents else ADMIT_CHAT
        agent = self.agents[0] if self.agents else None
        return Asked(action, values, agent, requested_by=self.sender, address=self.event.address)


@frozen
class RemoveHeld:
    """Delete held messages that were delivered or dropped. `reason` counts them as dropped."""

    messages: Sequence[HeldMessage] = field(repr=False)
    reason: str | None = None

    async def handle(self, actor: Registry) -> None:
        """Delete and count them in one transaction."""
        await actor.commit(self._remove, actor.clock.now())

    def _remove(self, connection: Connection, now: datetime) -> None:
        if self.reason is None:
            held_messages.remove(connection, [each.id for each in self.messages])
        else:
            drop_held(connection, self.messages, self.reason, now)
