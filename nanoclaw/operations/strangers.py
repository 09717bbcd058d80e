"""The noun `strangers`: who waits to be let in, and who was rejected or blocked."""

from collections.abc import Sequence
from typing import Annotated

from attrs import frozen

from nanoclaw.operations.declaration import Text, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import ChatRef
from nanoclaw.records import Refusal
from nanoclaw.registry import LiftRefusal
from nanoclaw.store import Connection
from nanoclaw.store.central import held_messages, refusals
from nanoclaw.store.central.held_messages import HeldOfSender

WAITING = ("chat", "user_id", "messages", "bytes", "held_since")
REFUSED = ("chat", "user_id", "agent", "status", "until", "decided_by", "decided_at")


@frozen
class Strangers(Noun):
    """People and chats that wait to be let in, and those that were rejected or blocked."""

    name = "strangers"
    summary = "who waits to be let in, and who was rejected or blocked"
    table = "refusals"

    @operation(right=Right.ADMIN, reads=True, columns=WAITING)
    async def list(self) -> Sequence[HeldOfSender]:
        """List those whose messages wait until somebody decides, the longest waiting first."""
        return await self._central.run(held_messages.waiting)

    @operation(right=Right.ADMIN, reads=True, columns=REFUSED)
    async def refused(self) -> Sequence[Refusal]:
        """List those who were rejected or blocked, the newest first.

        No user means the whole chat, no agent all of its agents.
        """
        return await self._central.run(refusals.every)

    @operation(
        right=Right.ADMIN, missing="there is no such rejection or block; see `nanoclaw strangers refused`"
    )
    async def lift(self, chat: ChatRef, user: Annotated[str | None, Text()] = None) -> Refusal | None:
        """Forget a rejection or a block. The next message asks again.

        Args:
            chat: the chat, as `channel:platform_id`, name or id.
            user: the id of who was refused; default: the chat itself.
        """
        found = await self._central.run(_refusal, chat, user)
        return found if await self._registry.ask(LiftRefusal(chat, user)) else None


def _refusal(connection: Connection, chat: str, user: str | None) -> Refusal | None:
    found = refusals.every(connection)
    return next((each for each in found if (each.messaging_group_id, each.user_id) == (chat, user)), None)
