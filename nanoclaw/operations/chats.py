"""The noun `chats`."""

from collections.abc import Sequence
from typing import Annotated

from attrs import frozen

from nanoclaw.operations.declaration import Named, Text, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import ChatRef, OptionalText
from nanoclaw.records import Address, MessagingGroup, UnknownSenderPolicy
from nanoclaw.registry import CreateMessagingGroup, DeleteMessagingGroup, UpdateMessagingGroup
from nanoclaw.store.central import messaging_groups
from nanoclaw.store.central.messaging_groups import MessagingGroupChanges

COLUMNS = ("chat", "name", "is_group", "unknown_sender_policy", "id")


def parsed_address(text: str) -> Address:
    """Return the address of a chat, written `channel:platform_id`.

    Raises:
        BadArguments: it is not an address.
    """
    channel, colon, platform = text.partition(":")
    if not (channel and colon and platform):
        raise BadArguments(f"address: must be channel:platform_id such as cli:notes, got {text!r:.100}")
    return Address(channel, platform)


@frozen
class Chats(Noun):
    """The chats of the channels."""

    name = "chats"
    summary = "the chats of the channels"
    table = "messaging_groups"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self) -> Sequence[MessagingGroup]:
        """List the chats, the oldest first."""
        return await self._central.run(messaging_groups.every)

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, chat: ChatRef) -> MessagingGroup:
        """Show a chat.

        Args:
            chat: its `channel:platform_id`, name or id.
        """
        return await self._central.run(messaging_groups.require, chat)

    @operation(right=Right.ADMIN, conflict="there is a chat {address} already")
    async def create(
        self,
        address: Annotated[str, Text(1000)],
        *,
        name: str | None = None,
        is_group: Annotated[bool, Named("group")] = False,
        unknown_sender_policy: Annotated[UnknownSenderPolicy, Named("unknown_senders")] = "strict",
    ) -> MessagingGroup:
        """Create a chat before its first message.

        Args:
            address: `channel:platform_id`, such as `cli:notes` or `tg:-100123`.
            name: what people call it.
            is_group: it has more than one person in it.
            unknown_sender_policy: what becomes of messages from people whom nobody has let in.
        """
        return await self._registry.ask(
            CreateMessagingGroup(parsed_address(address), name, is_group, unknown_sender_policy)
        )

    @operation(right=Right.ADMIN)
    async def set(
        self,
        chat: ChatRef,
        *,
        name: OptionalText | None = None,
        is_group: Annotated[bool | None, Named("group")] = None,
        unknown_sender_policy: Annotated[UnknownSenderPolicy | None, Named("unknown_senders")] = None,
    ) -> MessagingGroup:
        """Change a chat.

        Args:
            chat: its `channel:platform_id`, name or id.
            name: what people call it; an empty text: nothing.
            is_group: it has more than one person in it.
            unknown_sender_policy: what becomes of messages from people whom nobody has let in.
        """
        changes: MessagingGroupChanges = {}
        if name is not None:
            changes["name"] = name or None
        if is_group is not None:
            changes["is_group"] = is_group
        if unknown_sender_policy is not None:
            changes["unknown_sender_policy"] = unknown_sender_policy
        if not changes:
            raise BadArguments("nothing to change: give --name, --group, --no-group or --unknown-senders")
        return await self._registry.ask(UpdateMessagingGroup(chat, changes))

    @operation(right=Right.ADMIN, asks="Delete chat {chat}?")
    async def delete(self, chat: ChatRef) -> MessagingGroup:
        """Delete a chat.

        It is refused while wirings, sessions or destinations name it.

        Args:
            chat: its `channel:platform_id`, name or id.
        """
        return await self._registry.ask(DeleteMessagingGroup(chat))
