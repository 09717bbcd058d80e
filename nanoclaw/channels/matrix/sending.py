"""The sending half: each message has a key, so the server takes it once, however often it is sent."""

import json
from collections.abc import Sequence

import structlog
import trio
import trio.lowlevel
from attrs import Factory, define

from nanoclaw.channels.matrix.contents import Content, edit, file, mime_of, placed, reaction, texts
from nanoclaw.channels.matrix.drafts import MESSAGE, Drafts
from nanoclaw.channels.matrix.incoming import PREFIX, Incoming
from nanoclaw.channels.matrix.media import ServerFiles
from nanoclaw.channels.matrix.server import Server
from nanoclaw.channels.protocol import DeliveryRejected, Outcome
from nanoclaw.channels.state import ChannelState
from nanoclaw.records import (
    Address,
    EditContent,
    Outgoing,
    OutgoingFile,
    ReactionContent,
    Receipt,
    TextContent,
)

TYPING_S = 15.0
"""Seconds for which users see that the assistant writes, unless it is repeated or a message comes."""
TYPING_AFTER_S = 0.7
"""Seconds before users see it. A quick answer costs the server no more than itself."""
PIECES_S = 30 * 86_400.0
"""Seconds for which the pieces of a long message can be edited."""
IN_A_THREAD = 20_000
"""Characters of a text that is split in a thread."""

_log = structlog.get_logger()


@define(eq=False)
class MatrixSender:
    """Sends to the rooms of one account."""

    channel: str
    server: Server
    incoming: Incoming
    state: ChannelState
    drafts: Drafts
    files: ServerFiles
    nursery: trio.Nursery
    encrypt_direct_chats: bool
    _typing_soon: set[str] = Factory(set)
    _typing: set[str] = Factory(set)
    """The rooms in which users see that the assistant writes."""

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """See `Sender.deliver`."""
        room_id = outgoing.address.platform_id
        if not await self.server.known(room_id):
            raise DeliveryRejected(
                f"the account {self.server.user_id} is not in the room {room_id}; invite it"
            )
        match outgoing.content:
            case TextContent():
                return await self._send(outgoing, outgoing.content)
            case EditContent():
                return await self._edit(outgoing, outgoing.content)
            case ReactionContent(message_id, emoji):
                content = reaction(message_id, emoji)
                key = outgoing.message_out_id
                return Receipt(await self.server.send(room_id, "m.reaction", content, key))
            case _:
                raise DeliveryRejected("Matrix shows no cards")

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        """See `Sender.find`. It is not asked, because a repeated message is taken once."""
        del outgoing
        await trio.lowlevel.checkpoint()
        return None

    # -- messages ----------------------------------------------------------------

    async def _send(self, outgoing: Outgoing, said: TextContent) -> Receipt:
        address, key = outgoing.address, outgoing.message_out_id
        contents = await self._texts(address.platform_id, said.text, markdown=said.markdown)
        draft = await self.drafts.take(address, key)
        ids = list[str]()
        for n, content in enumerate(contents):
            piece_key = key if n == 0 else f"{key}.{n}"
            if n == 0 and draft is not None:
                await self._put(address, edit(content, draft), piece_key)
                ids.append(draft)
            else:
                whole = placed(content, address.thread_id, outgoing.in_reply_to if n == 0 else None)
                ids.append(await self._put(address, whole, piece_key))
            self.incoming.remember(ids[-1], content["body"], address.thread_id)
        if draft is not None and not contents:
            await self.drafts.show(address, "")
        await self._keep_pieces(ids)
        for n, each in enumerate(outgoing.files):
            answered = None if ids else outgoing.in_reply_to
            ids.append(await self._send_file(address, each, f"{key}.f{n}", answered))
        await self.drafts.done(address, key)
        self.nursery.start_soon(self._stop_typing, address.platform_id)
        return Receipt(ids[0] if ids else None)

    async def _texts(self, room_id: str, text: str, *, markdown: bool) -> Sequence[Content]:
        members = self.server.members(room_id) if "@" in text else ()
        if len(text) <= IN_A_THREAD:
            return texts(text, markdown=markdown, members=members)
        return await trio.to_thread.run_sync(lambda: texts(text, markdown=markdown, members=members))

    async def _put(self, address: Address, content: Content, key: str) -> str:
        return await self.server.send(address.platform_id, MESSAGE, content, key)

    async def _send_file(self, address: Address, each: OutgoingFile, key: str, answered: str | None) -> str:
        encrypted = self.server.encrypted(address.platform_id)
        mime = mime_of(each.name)
        place = await self.files.upload(each.path, each.size, each.name, mime, encrypted=encrypted)
        content = placed(file(each.name, each.size, place), address.thread_id, answered)
        return await self._put(address, content, key)

    # -- edits -------------------------------------------------------------------

    async def _edit(self, outgoing: Outgoing, said: EditContent) -> Receipt:
        """Change the pieces of a message. New ones follow it, and those that are left over are deleted."""
        address, key, target = outgoing.address, outgoing.message_out_id, said.message_id
        if self.incoming.is_of_another(target):
            raise DeliveryRejected("only messages of the assistant can be edited")
        ids = json.loads(await self.state.get(_pieces_key(target)) or "[]") or [target]
        contents = await self._texts(address.platform_id, said.text, markdown=said.markdown)
        if not contents:
            raise DeliveryRejected("a message cannot be edited to an empty one")
        for n, content in enumerate(contents):
            if n < len(ids):
                await self._put(address, edit(content, ids[n]), f"{key}.{n}")
            else:
                ids.append(await self._put(address, placed(content, address.thread_id, None), f"{key}.{n}"))
            self.incoming.remember(ids[n], content["body"], address.thread_id)
        for n, left in enumerate(ids[len(contents) :]):
            await self.server.redact(address.platform_id, left, f"{key}.x{n}")
        await self._keep_pieces(ids[: len(contents)], also=len(ids) > 1)
        return Receipt(target)

    async def _keep_pieces(self, ids: Sequence[str], *, also: bool = False) -> None:
        """Remember the pieces of a message, if it has several. `also`: even if it has one."""
        if len(ids) > 1 or also:
            await self.state.set(_pieces_key(ids[0]), json.dumps(ids), ttl_s=PIECES_S)

    # -- hints -------------------------------------------------------------------

    async def typing(self, address: Address, /) -> None:
        """See `Sender.typing`."""
        room_id = address.platform_id
        if room_id in self._typing:
            await self._hint(room_id, TYPING_S)
        elif room_id not in self._typing_soon:
            self._typing_soon.add(room_id)
            self.nursery.start_soon(self._type_soon, room_id)
        await trio.lowlevel.checkpoint()

    async def _type_soon(self, room_id: str) -> None:
        """Show that the assistant writes, unless its message comes at once."""
        await trio.sleep(TYPING_AFTER_S)
        if room_id in self._typing_soon:
            self._typing_soon.discard(room_id)
            await self._hint(room_id, TYPING_S)

    async def _stop_typing(self, room_id: str) -> None:
        self._typing_soon.discard(room_id)
        if room_id in self._typing:
            self._typing.discard(room_id)
            await self._hint(room_id, 0)

    async def _hint(self, room_id: str, for_s: float) -> None:
        if for_s > 0:
            self._typing.add(room_id)
        try:
            await self.server.typing(room_id, for_s)
        except Exception as error:  # noqa: BLE001 -- a hint may be lost
            _log.debug("matrix.hint_lost", room=room_id, reason=str(error))

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None:
        """See `Sender.settled`. It is not asked."""
        del address, platform_message_id, outcome
        await trio.lowlevel.checkpoint()

    async def draft(self, address: Address, text: str, /) -> None:
        """See `DraftingSender.draft`."""
        try:
            await self.drafts.show(address, text)
        except Exception as error:  # noqa: BLE001 -- a hint may be lost
            _log.debug("matrix.draft_lost", room=address.platform_id, reason=str(error))

    # -- direct chats ------------------------------------------------------------

    async def open_dm(self, user_id: str, /) -> Address:
        """See `DirectSender.open_dm`."""
        network, _, user = user_id.partition(":")
        if network != PREFIX or not user.startswith("@") or ":" not in user:
            raise DeliveryRejected(f"{user_id!r:.100} is no user of Matrix")
        key = f"direct {user}"[:512]
        kept = await self.state.get(key)
        room_id = kept if kept and await self.server.known(kept) else self.server.direct_room(user)
        if room_id is None:
            room_id = await self.server.create_direct(user, encrypted=self.encrypt_direct_chats)
        if room_id != kept:
            await self.state.set(key, room_id)
        return Address(self.channel, room_id)


def _pieces_key(event_id: str) -> str:
    return f"pieces {event_id}"[:512]
