"""The sending half: messages in pieces, edits, reactions, cards, and drafts.

A piece that Discord has is not sent again: its nonce holds for minutes, and `sent.py` remembers it for days.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trio
from attrs import Factory, define, evolve, frozen

from nanoclaw.channels.discord.buttons import LONGEST_LABEL, Buttons
from nanoclaw.channels.discord.dialect import LONGEST, as_discord, escaped
from nanoclaw.channels.discord.receiving import PREFIX
from nanoclaw.channels.discord.sent import SentMessages, nonce_of
from nanoclaw.channels.discord.values import Post
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Outcome
from nanoclaw.channels.rendering import pieces, plain_pieces, utf16_units
from nanoclaw.channels.state import StateError
from nanoclaw.records import (
    Address,
    CardContent,
    CardEditContent,
    EditContent,
    Outgoing,
    QuestionContent,
    ReactionContent,
    Receipt,
    TextContent,
)

if TYPE_CHECKING:
    from nanoclaw.channels.discord.sdk import Connection

MOST_FILES = 10
"""Files of one message of Discord."""
DRAFT_S = 1.25
"""Seconds between two changes of a draft. Discord allows five changes in a chat in five seconds."""
TYPING_S = 8.0
"""Seconds between two signs of typing. Discord shows one for ten."""
IN_THREAD = 20_000
"""Characters of a text that is split in a thread, because it takes long."""


@frozen
class _Draft:
    id: str
    at: float
    """The time of the last change."""
    reply_to: str | None


@define(eq=False)
class DiscordSender:
    """Sends to Discord while the bot is connected."""

    channel_type: str
    connection: "Connection"
    sent: SentMessages
    buttons: Buttons
    latest: Callable[[Address], str | None]
    """Returns the last message of a chat that the host has."""
    _drafts: dict[Address, _Draft] = Factory(dict)
    _typed: dict[str, float] = Factory(dict)

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """See `Sender.deliver`."""
        try:
            return await self._deliver(outgoing)
        except StateError as error:  # of the state only what is read before anything is sent raises
            raise ChannelUnavailable(str(error)) from error

    async def _deliver(self, outgoing: Outgoing) -> Receipt:
        match outgoing.content:
            case EditContent(message_id, text, markdown):
                await self._edit(outgoing, message_id, await _pieces(text, markdown=markdown))
            case CardEditContent(message_id, question):
                await self.connection.edit(_chat(outgoing.address), message_id, await self._card(question))
            case ReactionContent(message_id, emoji):
                await self._react(_chat(outgoing.address), message_id, emoji)
            case _:
                return await self._send(outgoing, await self._posts(outgoing))
        return Receipt(message_id)

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        """See `Sender.find`."""
        if isinstance(outgoing.content, EditContent | CardEditContent | ReactionContent):
            return None  # all of these may be done twice
        try:
            chat, posts = _chat(outgoing.address), await self._posts(outgoing)
            await self._look_for(outgoing.address, posts)
            ids = [await self.sent.id_of(chat, post.nonce or "") for post in posts]
        except StateError as error:
            raise ChannelUnavailable(str(error)) from error
        except DeliveryRejected:
            return None  # if the bot may not read the history, the nonce must do
        return Receipt(ids[0]) if ids and all(ids) else None

    async def _look_for(self, address: Address, posts: Sequence[Post]) -> None:
        """Find pieces in the history that were sent, and not remembered."""
        chat = _chat(address)
        missing = [post for post in posts if await self.sent.id_of(chat, post.nonce or "") is None]
        if not missing:
            return
        history = await self.connection.history(chat, after=None)
        mine = [one for one in history if _author(one) == self.connection.me.id]
        first = await self.sent.id_of(chat, posts[0].nonce or "")
        for post in missing:
            for one in mine:
                id_ = str(one["id"])
                if _is_same(one, post) and not await self.sent.has(chat, id_):
                    first = first or id_
                    await self.sent.add(chat, post.nonce or "", id_, first)
                    await self._keep_draft(address, id_)
                    break

    async def _keep_draft(self, address: Address, id_: str) -> None:
        """Forget a draft that has become a message."""
        draft = self._drafts.get(address)
        if draft is not None and draft.id == id_:
            del self._drafts[address]
            await self.sent.set_draft(_chat(address), None)

    # -- what is sent --

    async def _posts(self, outgoing: Outgoing) -> Sequence[Post]:
        """Return the messages of Discord for one of the host, with their nonces."""
        content = outgoing.content
        if isinstance(content, QuestionContent):
            posts = [await self._card(content)]
        elif isinstance(content, CardContent):
            posts = [Post(text) for text in await _pieces(content.fallback_text, markdown=False)]
        else:
            assert isinstance(content, TextContent)  # noqa: S101 -- the other kinds are no messages
            posts = [Post(text) for text in await _pieces(content.text, markdown=content.markdown)]
        posts = _with_files(posts or [Post("")], [(each.name, each.path) for each in outgoing.files])
        if posts == [Post("")]:
            raise DeliveryRejected("Discord has no messages without text and files")
        posts[0] = evolve(posts[0], reply_to=_reference(outgoing.in_reply_to))
        return [evolve(post, nonce=nonce_of(outgoing.message_out_id, n)) for n, post in enumerate(posts)]

    async def _card(self, question: QuestionContent) -> Post:
        text = f"**{escaped(question.title)}**\n{escaped(question.text)}"
        long = [option.label for option in question.options if len(option.label) > LONGEST_LABEL]
        text = "\n".join([text, *(f"- {escaped(label)}" for label in long)])
        if utf16_units(text) > LONGEST:
            text = plain_pieces(text, LONGEST - 2, utf16_units)[0] + "\n…"
        return Post(text, buttons=tuple(await self.buttons.of(question)))

    async def _send(self, outgoing: Outgoing, posts: Sequence[Post]) -> Receipt:
        """Send the pieces that were not sent before."""
        chat, first = _chat(outgoing.address), None
        for post in posts:
            nonce = post.nonce or ""
            id_ = await self.sent.id_of(chat, nonce)
            if id_ is None:
                id_ = await self._put(outgoing.address, post)
                await self.sent.add(chat, nonce, id_, first or id_)
                await self._keep_draft(outgoing.address, id_)
            first = first or id_
        await self._drop_draft(outgoing.address)
        return Receipt(first)

    async def _put(self, address: Address, post: Post) -> str:
        """Send a piece, in place of the draft if there is one that fits. Return the id."""
        chat, draft = _chat(address), self._drafts.get(address)
        fits = draft is not None and post.reply_to in {None, draft.reply_to} and not post.files
        if draft is None or not fits:
            await self._drop_draft(address)
            return await self.connection.send(chat, post)
        try:
            await self.connection.edit(chat, draft.id, post)
        except DeliveryRejected:  # somebody deleted the draft
            self._drafts.pop(address, None)
            return await self.connection.send(chat, post)
        return draft.id

    async def _edit(self, outgoing: Outgoing, message_id: str, texts: Sequence[str]) -> None:
        """Give a message another text: change its pieces, remove those too many, and add missing ones."""
        if not texts:
            raise DeliveryRejected("Discord has no messages without text")
        chat = _chat(outgoing.address)
        before = await self.sent.pieces_of(chat, message_id)
        for id_, text in zip(before, texts, strict=False):
            await self.connection.edit(chat, id_, Post(text))
        for id_ in before[len(texts) :]:
            await self.connection.try_to(self.connection.delete, chat, id_)
            await self.sent.remove(chat, id_)
        for n, text in enumerate(texts[len(before) :], len(before)):
            nonce = nonce_of(outgoing.message_out_id, n)
            if await self.sent.id_of(chat, nonce) is None:
                id_ = await self.connection.send(chat, Post(text, nonce))
                await self.sent.add(chat, nonce, id_, message_id)

    async def _react(self, chat: str, message_id: str, emoji: str) -> None:
        path = "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"
        await self.connection.call("PUT", path, channel_id=chat, message_id=message_id, emoji=emoji)

    # -- hints --

    async def typing(self, address: Address, /) -> None:
        """See `Sender.typing`."""
        chat, now = _chat(address), trio.current_time()
        if now - self._typed.get(chat, -TYPING_S) >= TYPING_S:
            self._typed[chat] = now
            await self.connection.try_to(
                self.connection.call, "POST", "/channels/{channel_id}/typing", channel_id=chat
            )

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None:
        """Show nothing: Discord has no such sign."""

    async def draft(self, address: Address, text: str, /) -> None:
        """See `DraftingSender.draft`. A draft that comes too soon after another is skipped."""
        shown = _as_draft(text)
        if not shown:
            await self._drop_draft(address)
            return
        draft, now = self._drafts.get(address), trio.current_time()
        if draft is None:
            await self._begin_draft(address, shown)
        elif now - draft.at >= DRAFT_S:
            self._drafts[address] = evolve(draft, at=now)
            await self.connection.try_to(self.connection.edit, _chat(address), draft.id, Post(shown))

    async def _begin_draft(self, address: Address, text: str) -> None:
        reply_to = self.latest(address) if address.platform_id else None
        post = Post(text, reply_to=_reference(reply_to))
        id_ = await self.connection.try_to(self.connection.send, _chat(address), post)
        if isinstance(id_, str):
            self._drafts[address] = _Draft(id_, trio.current_time(), post.reply_to)
            await self.sent.set_draft(_chat(address), id_)

    async def _drop_draft(self, address: Address) -> None:
        draft = self._drafts.pop(address, None)
        if draft is not None:
            await self.connection.try_to(self.connection.delete, _chat(address), draft.id)
            await self.sent.set_draft(_chat(address), None)

    async def remove_old_drafts(self) -> None:
        """Delete the drafts of a process that was killed. One that became a message stays."""
        for chat, id_ in (await self.sent.drafts()).items():
            if not await self.sent.has(chat, id_):
                await self.connection.try_to(self.connection.delete, chat, id_)
            await self.sent.set_draft(chat, None)

    # -- direct chats --

    async def open_dm(self, user_id: str, /) -> Address:
        """See `DirectSender.open_dm`."""
        network, _, id_ = user_id.partition(":")
        if network != PREFIX or not id_.isascii() or not id_.isdigit():
            raise DeliveryRejected(f"{user_id!r:.100} is no user of Discord")
        found = await self.connection.call("POST", "/users/@me/channels", json={"recipient_id": id_})
        chat = found.get("id") if isinstance(found, dict) else None
        if not isinstance(chat, str):
            raise ChannelUnavailable("Discord opened a direct chat, and did not say which")
        return Address(self.channel_type, chat)


def _chat(address: Address) -> str:
    """Return the id of Discord's channel: threads are channels, too."""
    found = address.thread_id or address.platform_id
    if not found.isascii() or not found.isdigit():
        raise DeliveryRejected(f"{found!r:.100} is no channel of Discord")
    return found


def _reference(message_id: str | None) -> str | None:
    return message_id if message_id and message_id.isascii() and message_id.isdigit() else None


async def _pieces(text: str, *, markdown: bool) -> list[str]:
    def split() -> Sequence[str]:
        if markdown:
            return pieces(as_discord(text), LONGEST, utf16_units)
        return plain_pieces(escaped(text), LONGEST, utf16_units)

    return list(await trio.to_thread.run_sync(split) if len(text) > IN_THREAD else split())


def _with_files(posts: list[Post], files: Sequence[tuple[str, Any]]) -> list[Post]:
    """Return messages with files: the first ones with the last text, others in messages of their own."""
    batches = [tuple(files[n : n + MOST_FILES]) for n in range(0, len(files), MOST_FILES)]
    if batches:
        posts[-1] = evolve(posts[-1], files=batches[0])
    return [*posts, *(Post("", files=batch) for batch in batches[1:])]


def _as_draft(text: str) -> str:
    """Return the end of a text, as much as one message shows."""
    shown = as_discord(text[-4 * LONGEST :]).strip()
    return shown if utf16_units(shown) <= LONGEST else f"…{shown[-(LONGEST // 2) :]}"


def _author(message: Mapping[str, Any]) -> str | None:
    author = message.get("author")
    return str(author.get("id")) if isinstance(author, dict) else None


def _is_same(message: Mapping[str, Any], post: Post) -> bool:
    """Return True if a message of the history is this one. Discord removes blanks at the ends."""
    if message.get("nonce") == post.nonce:
        return True
    same_text = str(message.get("content") or "").strip() == post.text.strip()
    return same_text and len(message.get("attachments") or ()) == len(post.files)
