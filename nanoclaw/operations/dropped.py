"""The noun `dropped`: messages and clicks that no agent got, by who wrote them and why."""

from collections.abc import Sequence
from typing import Annotated

from attrs import frozen

from nanoclaw.operations.chats import parsed_address
from nanoclaw.operations.declaration import Text, operation
from nanoclaw.operations.members import COLUMNS as MEMBERS
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import ChatRef
from nanoclaw.records import Address, Member, UnregisteredSender
from nanoclaw.registry import AdmitSender, ForgetUnregisteredSender
from nanoclaw.store import Connection, NotFound
from nanoclaw.store.central import unregistered_senders

COLUMNS = ("chat", "user_id", "sender_name", "reason", "message_count", "first_seen", "last_seen")


@frozen
class Dropped(Noun):
    """People whose messages no agent got: nobody let them in, or no agent is wired to the chat."""

    name = "dropped"
    summary = "people whose messages no agent got, and why"
    table = "unregistered_senders"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self) -> Sequence[UnregisteredSender]:
        """List them, the latest first."""
        await self._ground.write_drops()
        return await self._central.run(unregistered_senders.every)

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def show(
        self, address: Annotated[str, Text(1000)], user: Annotated[str, Text()]
    ) -> Sequence[UnregisteredSender]:
        """Show what was dropped of a person in a chat, by reason.

        Args:
            address: the chat, as `channel:platform_id`.
            user: the id of who wrote.
        """
        await self._ground.write_drops()
        return await self._central.run(_of, parsed_address(address), user)

    @operation(right=Right.ADMIN, columns=MEMBERS)
    async def admit(self, chat: ChatRef, user: Annotated[str, Text()]) -> Sequence[Member]:
        """Let a person in whose messages were dropped: they become a member of each agent of the chat.

        A rejection or block of the person in that chat is lifted. What was dropped does not come back.
        What is held is delivered.

        Args:
            chat: the chat, as `channel:platform_id`, name or id.
            user: the id of who wrote, as `dropped list` shows it.
        """
        await self._ground.write_drops()
        return await self._registry.ask(AdmitSender(chat, user, await self._known_caller()))

    @operation(right=Right.ADMIN, asks="Forget that {user} wrote in {address}?")
    async def delete(
        self, address: Annotated[str, Text(1000)], user: Annotated[str | None, Text()] = None
    ) -> Sequence[UnregisteredSender]:
        """Forget what was dropped of a person in a chat.

        Args:
            address: the chat, as `channel:platform_id`.
            user: the id of who wrote; default: those without an id.
        """
        chat = parsed_address(address)
        await self._ground.write_drops()
        found = await self._central.run(_of, chat, user)
        await self._registry.ask(ForgetUnregisteredSender(chat, user))
        return found


def _of(connection: Connection, chat: Address, user: str | None) -> Sequence[UnregisteredSender]:
    found = [
        each
        for each in unregistered_senders.every(connection)
        if (each.channel_type, each.platform_id, each.user_id) == (chat.channel_type, chat.platform_id, user)
    ]
    if not found:
        raise NotFound(f"nothing was dropped of {user or 'people without an id'} in that chat")
    return found
