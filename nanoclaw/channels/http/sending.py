"""The sending half: stores what agents send, for clients that follow or ask."""

from collections.abc import Mapping
from typing import Any

import trio
from attrs import frozen

from nanoclaw.channels.http.application import HttpServer
from nanoclaw.channels.http.rooms import PREFIX
from nanoclaw.channels.http.updates import Drafted, Settled, Working
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Outcome
from nanoclaw.records import (
    Address,
    CardContent,
    CardEditContent,
    EditContent,
    Outgoing,
    OutgoingContent,
    QuestionContent,
    ReactionContent,
    Receipt,
    TextContent,
)
from nanoclaw.store import StoreError
from nanoclaw.store.transcript.entries import EntryKind, NewEntry


@frozen
class HttpSender:
    """Stores messages in the transcript. A message that is delivered again is stored once."""

    server: HttpServer

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Store a message. Its id is `message_out_id`."""
        address = outgoing.address
        kind, message_id, content = stored(outgoing.content, outgoing.message_out_id)
        try:
            if outgoing.files:
                kept = await self.server.files.keep(
                    address.platform_id, outgoing.message_out_id, outgoing.files
                )
                files = [{"id": each.id, "name": each.name, "size": each.size} for each in kept]
                content = {**content, "files": files}
            await self.server.rooms.add(
                NewEntry(
                    address.platform_id,
                    address.thread_id or "",
                    kind,
                    message_id,
                    outgoing.message_out_id,
                    content,
                    self.server.clock.now(),
                    outgoing.author,
                    outgoing.in_reply_to,
                )
            )
        except (StoreError, OSError) as error:
            raise ChannelUnavailable(f"the transcript cannot be written: {error}") from error
        return Receipt(message_id if kind in {"message", "card"} else None)

    async def find(self, outgoing: Outgoing) -> Receipt | None:
        """Return None: the host sends again, and nothing is stored twice."""
        del outgoing
        await trio.lowlevel.checkpoint()
        return None

    async def typing(self, address: Address) -> None:
        """Show that the agent is at work."""
        self.server.rooms.live.hint(Working(address.platform_id, address.thread_id or ""))
        await trio.lowlevel.checkpoint()

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome) -> None:
        """Show that a message is done."""
        where = (address.platform_id, address.thread_id or "")
        self.server.rooms.live.hint(Settled(*where, platform_message_id, outcome))
        await trio.lowlevel.checkpoint()

    async def draft(self, address: Address, text: str) -> None:
        """Show the text so far of an answer."""
        self.server.rooms.live.hint(Drafted(address.platform_id, address.thread_id or "", text))
        await trio.lowlevel.checkpoint()

    async def open_dm(self, user_id: str) -> Address:
        """Return the direct chat of a user."""
        await trio.lowlevel.checkpoint()
        prefix, _, user = user_id.partition(":")
        if prefix != PREFIX or not user:
            raise DeliveryRejected(f"{user_id} is no user of HTTP")
        return Address(self.server.rooms.channel_type, user)


def stored(content: OutgoingContent, own_id: str) -> tuple[EntryKind, str, Mapping[str, Any]]:
    """Return the kind of a message's entry, the id of the message or the changed message, and its JSON."""
    match content:
        case TextContent():
            return "message", own_id, {"text": content.text, "markdown": content.markdown}
        case QuestionContent():
            return "card", own_id, question(content)
        case CardContent():
            return "card", own_id, {"text": content.fallback_text, "card": content.card}
        case CardEditContent():
            return "card_edit", content.message_id, question(content.question)
        case EditContent():
            return "edit", content.message_id, {"text": content.text, "markdown": content.markdown}
        case ReactionContent():
            return "reaction", content.message_id, {"emoji": content.emoji}


def question(asked: QuestionContent) -> Mapping[str, Any]:
    """Return the JSON of a question."""
    return {
        "text": asked.text,
        "title": asked.title,
        "question_id": asked.question_id,
        "options": [
            {"label": each.label, "selected_label": each.selected_label, "value": each.value}
            for each in asked.options
        ],
        "multiple": asked.multiple,
        "free_text": asked.free_text,
    }
