"""The fake network with all hooks of the channel suite, which show its contents as users see them."""

import math
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, frozen

from nanoclaw.records import (
    Attachment,
    ChatRenamed,
    EditContent,
    Joined,
    Left,
    Outgoing,
    QuestionContent,
    ReactionContent,
    TextContent,
)
from nanoclaw.testing import FakeChannel
from nanoclaw.testing.conformance import ChannelUnderTest, Thread
from nanoclaw.testing.world.channel import Fault

TOPIC = "topic"


@define
class Post:
    """A message as users see it."""

    text: str
    answers: str | None


@frozen
class View:
    """A chat, or a thread of it."""

    channel: FakeChannel
    thread: str | None = None

    def sent(self) -> Iterator[tuple[str, Outgoing]]:
        """Yield the network's messages to this address, with their ids."""
        for n, outgoing in enumerate(self.channel.sent, 1):
            if outgoing.address == self.channel.address(thread=self.thread):
                yield f"{self.channel.channel_type}-{n}", outgoing

    def posts(self) -> list[Post]:
        """Return the messages, with later edits."""
        posts = dict[str, Post]()
        for id_, outgoing in self.sent():
            match outgoing.content:
                case TextContent(text):
                    posts[id_] = Post(text, outgoing.in_reply_to)
                case EditContent(message_id, text):
                    posts[message_id].text = text
        return list(posts.values())

    def texts(self) -> list[str]:
        return [post.text for post in self.posts()]

    def answers(self) -> list[str | None]:
        return [post.answers for post in self.posts()]

    def files(self) -> list[tuple[str, bytes]]:
        return [(file.name, file.data) for _, outgoing in self.sent() for file in outgoing.files]

    def reactions(self) -> list[tuple[str, str]]:
        contents = [outgoing.content for _, outgoing in self.sent()]
        return [(one.message_id, one.emoji) for one in contents if isinstance(one, ReactionContent)]

    async def says(self, text: str) -> None:
        await self.channel.say(text, thread=self.thread)

    async def sends(self, name: str, data: bytes) -> None:
        file = Attachment("file", name, data=b64encode(data).decode())
        await self.channel.say("", attachments=[file])

    async def edits(self, text: str) -> None:
        await self.channel.edit(self.channel.said[-1], text, thread=self.thread)

    async def deletes(self) -> None:
        await self.channel.delete(self.channel.said[-1], thread=self.thread)

    async def reacts(self, emoji: str) -> None:
        newest, _ = list(self.sent())[-1]
        await self.channel.react(newest, emoji, thread=self.thread)

    async def renames(self, name: str) -> None:
        where = self.channel.address()
        await self.channel.offer(ChatRenamed(where, self.channel.new_id("event"), name))

    async def joins(self) -> None:
        where, user = self.channel.address(), f"{self.channel.channel_type}:eve"
        await self.channel.offer(Joined(where, self.channel.new_id("event"), user, "Eve"))

    async def leaves(self) -> None:
        where, user = self.channel.address(), f"{self.channel.channel_type}:eve"
        await self.channel.offer(Left(where, self.channel.new_id("event"), user, "Eve"))

    async def presses(self, label: str) -> None:
        [card] = [one.content for one in self.channel.sent if isinstance(one.content, QuestionContent)]
        [button] = [option for option in card.options if option.label == label]
        await self.channel.click(card.question_id, button.value)


def under_test(channel: FakeChannel, silence: Fault = "crash after") -> ChannelUnderTest:
    """Return the fake network with all its hooks."""

    @contextmanager
    def failing(fault: Fault) -> Iterator[None]:
        channel.fail(fault, times=math.inf)
        try:
            yield
        finally:
            channel.heal()

    chat, topic = View(channel), View(channel, TOPIC)
    return ChannelUnderTest(
        channel,
        channel.address(),
        chat.texts,
        says=chat.says,
        presses=chat.presses,
        edits=chat.edits,
        deletes=chat.deletes,
        reacts=chat.reacts,
        down=lambda: failing("unavailable"),
        rejecting=lambda: failing("rejected"),
        silent=lambda: failing(silence),
        files=chat.files,
        sends=chat.sends,
        answers=chat.answers,
        reactions=chat.reactions,
        thread=Thread(channel.address(thread=TOPIC), topic.texts, says=topic.says),
        renames=chat.renames,
        joins=chat.joins,
        leaves=chat.leaves,
    )
