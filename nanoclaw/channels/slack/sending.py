"""The sending half: delivers, finds what was sent before, and shows drafts."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import trio
from attrs import Factory, define, field, frozen

from nanoclaw.channels.cards import as_text
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected, Outcome
from nanoclaw.channels.rendering import pieces, plain_pieces, tables_as_code
from nanoclaw.channels.sent_pieces import SentPieces
from nanoclaw.channels.slack import cards
from nanoclaw.channels.slack.connection import SlackBroke, SlackConnection, SlackRefused
from nanoclaw.channels.slack.dialect import LONGEST, emoji_name, escaped, mrkdwn
from nanoclaw.channels.slack.files import upload
from nanoclaw.channels.state import ChannelState, StateError
from nanoclaw.records import (
    Address,
    CardEditContent,
    EditContent,
    Outgoing,
    QuestionContent,
    ReactionContent,
    Receipt,
    TextContent,
)

EVENT_TYPE = "nanoclaw"
"""The type of the metadata of our messages. Its payload has the key of the delivery."""
DRAFT_PAUSE_S = 1.1
"""Seconds between changes of a draft: Slack allows about one call of `chat.update` a second in a chat."""
SEARCHED = 200
"""Number of a chat's newest messages among which an earlier attempt is looked for."""
DRAFTS = "drafts"
"""The key of the state that has the messages that show drafts."""
IN_THREAD = 20_000
"""Characters from which on a text is split in a thread: some texts take long."""

Message = Mapping[str, Any]


@frozen
class _Post:
    """One message of Slack: the arguments that show it."""

    text: str
    arguments: Message = Factory(dict)


@define(eq=False)
class SlackSender:
    """Delivers to the chats of one workspace."""

    channel_type: str
    connection: SlackConnection
    state: ChannelState
    _drafts: dict[Address, tuple[str, float]] = Factory(dict)
    """The message that shows a draft, and when it was changed last on trio's clock."""
    _sent: dict[str, Mapping[int, str]] = Factory(dict)
    """The pieces of a delivery that an earlier attempt has sent, as `find` saw them."""
    _pieces: SentPieces = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Use the state for the pieces of long messages."""
        self._pieces = SentPieces(self.state)

    # -- messages

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """See `Sender.deliver`."""
        content = outgoing.content
        match content:
            case EditContent():
                text = TextContent(content.text, content.markdown)
                return await self._edit(outgoing, content.message_id, await _in_posts(text))
            case CardEditContent(message_id=id_, question=question):
                return await self._edit(outgoing, id_, [_card(question)])
            case ReactionContent():
                return await self._react(outgoing, content)
            case QuestionContent() if cards.fits(content):
                return await self._send(outgoing, [_card(content)])
            case _:
                return await self._send(outgoing, await _in_posts(as_text(content)))

    async def _send(self, outgoing: Outgoing, posts: Sequence[_Post]) -> Receipt:
        before = self._sent.pop(outgoing.message_out_id, {})
        ids = list[str]()
        draft, _ = self._drafts.get(outgoing.address, (None, 0.0))
        for n, post in enumerate(posts):
            id_ = before.get(n) or await self._put(outgoing, n, post, draft if n == 0 else None)
            ids.append(id_)
            if n == 0 and draft is not None:  # noted only now: if the host dies before, the draft is removed
                await self._forget_draft(outgoing.address)
        if outgoing.files and len(posts) not in before:
            await upload(self.connection, outgoing.address, outgoing.files)
        await self._pieces.keep(outgoing.address.platform_id, ids)
        return Receipt(ids[0] if ids else None)

    async def _forget_draft(self, address: Address) -> None:
        del self._drafts[address]
        await self._note_drafts()

    async def _put(self, outgoing: Outgoing, n: int, post: _Post, draft: str | None) -> str:
        """Show a piece, in place of the draft if there is one. Return its id."""
        arguments = {
            "channel": outgoing.address.platform_id,
            "text": post.text,
            "metadata": {
                "event_type": EVENT_TYPE,
                "event_payload": {"key": f"{outgoing.message_out_id}/{n}"},
            },
            **post.arguments,
        }
        if draft is not None:
            with suppress(SlackRefused):  # a person may have deleted it
                await self.connection.call("chat.update", ts=draft, **arguments)
                return draft
        thread = {"thread_ts": outgoing.address.thread_id} if outgoing.address.thread_id else {}
        answer = await self.connection.call(
            "chat.postMessage", **arguments, **thread, unfurl_links=False, unfurl_media=False
        )
        return str(answer.get("ts"))

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        """See `Sender.find`. If only some pieces of a message are there, `deliver` sends the others."""
        content = outgoing.content
        if isinstance(content, EditContent | CardEditContent | ReactionContent):
            return None  # to do them again changes nothing
        card = isinstance(content, QuestionContent) and cards.fits(content)
        wanted = 1 if card else len(await _in_posts(as_text(content)))
        found = dict[int, str]()
        names = [file.name for file in outgoing.files]
        for message in await self._recent(outgoing.address):
            key, _, n = _key(message).rpartition("/")
            if key == outgoing.message_out_id and n.isdecimal():
                found[int(n)] = str(message.get("ts"))
            elif names and _names(message) == names and _after(message, outgoing):
                found[wanted] = str(message.get("ts"))
        missing = wanted + bool(names) - len(found)
        if not missing and found:
            return Receipt(found.get(0) if wanted else None)
        self._sent[outgoing.message_out_id] = found
        return None

    async def _recent(self, address: Address) -> Sequence[Message]:
        """Return the newest messages of a chat or thread."""
        arguments = {"channel": address.platform_id, "limit": SEARCHED, "include_all_metadata": True}
        try:
            if address.thread_id:
                answer = await self.connection.read(
                    "conversations.replies", ts=address.thread_id, **arguments
                )
            else:
                answer = await self.connection.read("conversations.history", **arguments)
        except SlackRefused:
            return ()  # the delivery says why
        except SlackBroke as error:
            raise ChannelUnavailable(str(error)) from error
        found = answer.get("messages")
        return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else ()

    # -- edits and reactions

    async def _edit(self, outgoing: Outgoing, id_: str, posts: Sequence[_Post]) -> Receipt:
        """Replace a message of several pieces by one that may have another number of them."""
        channel = outgoing.address.platform_id
        ids = await self._pieces.of(channel, id_)
        for n, post in enumerate(posts[: len(ids)]):
            await self.connection.call(
                "chat.update", channel=channel, ts=ids[n], text=post.text, **{"blocks": [], **post.arguments}
            )
        for surplus in ids[max(1, len(posts)) :]:
            with suppress(SlackRefused):
                await self.connection.call("chat.delete", channel=channel, ts=surplus)
        more = [await self._put(outgoing, n, post, None) for n, post in enumerate(posts) if n >= len(ids)]
        await self._pieces.keep(channel, [*ids[: len(posts)], *more], before=ids)
        return Receipt(id_)

    async def _react(self, outgoing: Outgoing, content: ReactionContent) -> Receipt:
        channel, name = outgoing.address.platform_id, emoji_name(content)
        try:
            await self.connection.call(
                "reactions.add", channel=channel, timestamp=content.message_id, name=name
            )
        except SlackRefused as error:
            if error.code == "invalid_name":
                raise DeliveryRejected(f"Slack has no emoji {content.emoji!r:.60}") from error
            if error.code != "already_reacted":
                raise
        return Receipt(None)

    # -- direct chats

    async def open_dm(self, user_id: str, /) -> Address:
        """See `DirectSender.open_dm`."""
        network, _, user = user_id.partition(":")
        if network != "slack" or not user:
            raise DeliveryRejected(f"{user_id!r:.100} is no user of Slack")
        try:
            answer = await self.connection.call("conversations.open", users=user)
        except SlackRefused as error:
            raise DeliveryRejected(str(error)) from error
        channel = answer.get("channel")
        id_ = channel.get("id") if isinstance(channel, dict) else None
        if not isinstance(id_, str):
            raise ChannelUnavailable("Slack opened a direct chat, and did not say which")
        return Address(self.channel_type, id_)

    # -- hints

    async def typing(self, address: Address, /) -> None:
        """Do nothing: Slack's Web API has no typing sign."""

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None:
        """Do nothing."""

    async def draft(self, address: Address, text: str, /) -> None:
        """See `DraftingSender.draft`. A draft is a message that is changed, at most about once a second."""
        if not text:
            await self._remove_draft(address)
            return
        shown = escaped(text[-LONGEST:] if len(text) > LONGEST else text)
        id_, changed_at = self._drafts.get(address, (None, -DRAFT_PAUSE_S))
        await trio.sleep_until(changed_at + DRAFT_PAUSE_S)
        with suppress(ChannelUnavailable, SlackRefused, SlackBroke):
            if id_ is None:
                await self._begin_draft(address, shown)
            else:
                self._drafts[address] = (id_, trio.current_time())
                await self.connection.call("chat.update", channel=address.platform_id, ts=id_, text=shown)

    async def _begin_draft(self, address: Address, text: str) -> None:
        thread = {"thread_ts": address.thread_id} if address.thread_id else {}
        answer = await self.connection.call(
            "chat.postMessage", channel=address.platform_id, text=text, **thread
        )
        self._drafts[address] = (str(answer.get("ts")), trio.current_time())
        await self._note_drafts()

    async def _remove_draft(self, address: Address) -> None:
        id_, _ = self._drafts.pop(address, (None, 0.0))
        if id_ is not None:
            with suppress(ChannelUnavailable, SlackRefused, SlackBroke):
                await self.connection.call("chat.delete", channel=address.platform_id, ts=id_)
            await self._note_drafts()

    async def _note_drafts(self) -> None:
        """Keep the messages that show drafts, so that the next connection removes them."""
        shown = [(address.platform_id, id_) for address, (id_, _) in self._drafts.items()]
        with suppress(StateError):
            await self.state.set(DRAFTS, json.dumps(shown))

    async def remove_old_drafts(self) -> None:
        """Remove the drafts of an earlier connection. Call it once, before anything is delivered.

        Raises:
            ChannelUnavailable: Slack cannot be asked now.
        """
        try:
            kept = json.loads(await self.state.get(DRAFTS) or "[]")
        except (StateError, ValueError):
            return
        for channel, id_ in kept:
            with suppress(SlackRefused, SlackBroke):
                await self.connection.call("chat.delete", channel=channel, ts=id_)
        if kept:
            await self._note_drafts()


def _card(question: QuestionContent) -> _Post:
    shown = as_text(question)
    text = shown.text if isinstance(shown, TextContent | EditContent) else ""
    return _Post(escaped(text)[:LONGEST], {"blocks": cards.blocks(question)})


async def _in_posts(content: object) -> Sequence[_Post]:
    """Return the messages that show a text. A long one is split in a thread."""
    if isinstance(content, TextContent | EditContent) and len(content.text) > IN_THREAD:
        return await trio.to_thread.run_sync(_posts, content)
    return _posts(content)


def _posts(content: object) -> Sequence[_Post]:
    """Return the messages that show a text."""
    match content:
        case TextContent(text=text, markdown=True):
            return [_Post(mrkdwn(each)) for each in pieces(tables_as_code(text), LONGEST)]
        case TextContent(text=text) | EditContent(text=text):
            return [_Post(escaped(each), {"mrkdwn": False}) for each in plain_pieces(text, LONGEST)]
        case _:
            raise DeliveryRejected(f"Slack cannot show a {type(content).__name__}")


def _key(message: Message) -> str:
    metadata: Any = message.get("metadata")
    payload = metadata.get("event_payload") if isinstance(metadata, Mapping) else None
    key = payload.get("key") if isinstance(payload, Mapping) else None
    return key if isinstance(key, str) else ""


def _names(message: Message) -> Sequence[object]:
    files = message.get("files")
    return (
        [each.get("name") for each in files if isinstance(each, Mapping)] if isinstance(files, list) else []
    )


def _after(message: Message, outgoing: Outgoing) -> bool:
    """Return True if a message was sent after the agent wrote ours."""
    try:
        return outgoing.written_at is None or float(message["ts"]) >= outgoing.written_at.timestamp()
    except (KeyError, TypeError, ValueError):
        return False
