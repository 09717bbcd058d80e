"""The people, chats and messages of the fake Telegram."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field, frozen

if TYPE_CHECKING:
    from nanoclaw.testing.networks.telegram.network import FakeTelegram

Json = dict[str, Any]


@frozen
class FakeFile:
    """A file of a message."""

    kind: str
    """The Bot API's word, such as `document` or `photo`."""
    name: str
    """Its name, empty for the kinds without one."""
    data: bytes = field(repr=False)
    id: str = ""
    """The id by which bots ask for it."""
    announced: int | None = None
    """Its size as bots are told, if that is another one."""

    @property
    def size(self) -> int:
        """Return its size as bots are told."""
        return len(self.data) if self.announced is None else self.announced


@define(eq=False)
class FakeMessage:
    """A message, as users see it now."""

    id: int
    sender_id: int
    text: str = ""
    """Its text, or the caption of its file."""
    entities: Sequence[Json] = ()
    thread_id: int | None = None
    reply_to: int | None = None
    file: FakeFile | None = None
    keyboard: Sequence[Sequence[Json]] = ()
    """The rows of its buttons."""
    reactions: dict[int, tuple[str, ...]] = Factory(dict)
    """The emojis of each user, and of the bot."""
    media_group_id: str | None = None
    edits: int = 0

    def button(self, label: str) -> Json:
        """Return the button with this label."""
        labels = [one for row in self.keyboard for one in row]
        return next(one for one in labels if one["text"] == label)


@define(eq=False)
class FakeChat:
    """A chat of the bot."""

    id: int
    kind: str
    """`private`, `group` or `supergroup`."""
    title: str = ""
    members: list[int] = Factory(list)
    is_forum: bool = False
    topics: dict[int, str] = Factory(dict)
    messages: dict[int, FakeMessage] = Factory(dict)
    """The messages that users see, by id."""
    draft: str | None = None
    """The draft that users see, with `sendMessageDraft`."""
    drafts_shown: int = 0
    typing: int = 0
    """Number of times that users saw that the bot is at work."""
    blocked: bool = False
    """True if the user has blocked the bot, or the group has removed it."""
    moved_to: int | None = None
    """The supergroup that this group became."""

    def as_json(self) -> Json:
        """Return it as the Bot API shows it."""
        shown: Json = {"id": self.id, "type": self.kind}
        shown |= {"title": self.title} if self.kind != "private" else {"first_name": self.title}
        return shown | ({"is_forum": True} if self.is_forum else {})


@define(eq=False)
class FakeUser:
    """A person. The acts return the ids of their updates, for `FakeTelegram.confirmed`."""

    id: int
    name: str
    username: str
    chat: FakeChat = field(repr=False)
    """Their direct chat with the bot."""
    _network: "FakeTelegram" = field(repr=False)

    def as_json(self) -> Json:
        """Return the person as the Bot API shows them."""
        return {"id": self.id, "is_bot": False, "first_name": self.name, "username": self.username}

    def says(
        self,
        text: str,
        in_: FakeChat | None = None,
        *,
        thread: int | None = None,
        reply_to: int | None = None,
        entities: Sequence[Json] = (),
    ) -> int:
        """Write a message."""
        made = FakeMessage(0, self.id, text, entities, thread, reply_to)
        return self._network.posted(self, in_ or self.chat, made)

    def sends(
        self, *files: FakeFile, caption: str = "", in_: FakeChat | None = None, thread: int | None = None
    ) -> int:
        """Send files, several of them as an album. Return the id of the last update."""
        album = self._network.next_id("album") if len(files) > 1 else None
        update = 0
        for number, file in enumerate(files):
            text = "" if number else caption
            group = None if album is None else str(album)
            made = FakeMessage(
                0, self.id, text, thread_id=thread, file=self._network.stored(file), media_group_id=group
            )
            update = self._network.posted(self, in_ or self.chat, made)
        return update

    def edits(self, message: FakeMessage, text: str, in_: FakeChat | None = None) -> int:
        """Change the text of a message."""
        message.text, message.edits = text, message.edits + 1
        return self._network.edited(self, in_ or self.chat, message)

    def reacts(self, message: FakeMessage, *emojis: str, in_: FakeChat | None = None) -> int:
        """React to a message with exactly these emojis; none takes the reaction back."""
        return self._network.reacted(self, in_ or self.chat, message, emojis)

    def presses(self, label: str, in_: FakeChat | None = None) -> int:
        """Press the button with that label on the newest message that has it."""
        chat = in_ or self.chat
        shown = [one for one in chat.messages.values() if _has(one, label)]
        return self._network.pressed(self, chat, shown[-1], shown[-1].button(label)["callback_data"])


def _has(message: FakeMessage, label: str) -> bool:
    return any(one["text"] == label for row in message.keyboard for one in row)


NextId = Callable[[str], int]
