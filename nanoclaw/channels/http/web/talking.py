"""The requests of the page in a conversation: write, edit, delete, react, press buttons, and read."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define, evolve, frozen

from nanoclaw.channels.http.application import HttpServer
from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.rooms import (
    HttpRoom,
    InProgress,
    KeyReused,
    Person,
    Post,
    Posted,
    Upload,
    posted_id,
)
from nanoclaw.channels.http.web import markdown, requests, shown
from nanoclaw.channels.http.web.conversations import Chats, Conversation
from nanoclaw.channels.http.web.uploads import Uploads
from nanoclaw.records import (
    BadEvent,
    ChatMessage,
    Deleted,
    Event,
    InboundEvent,
    NotAccepted,
    OutgoingFile,
    Reacted,
    Routed,
)
from nanoclaw.store.transcript.entries import Entry, EntryKind, NewEntry

Json = Mapping[str, Any]
PAGE = 50
"""Messages that are read at a time."""
MOST_CONVERSATIONS = 200
MOST_FILES = 20
MOST_KEYS = 2_000
MOST_REACTIONS = 20


@define(eq=False)
class SentKeys:
    """The names that pages gave to the newest messages. So a page recognizes its own message in any order."""

    _names: "OrderedDict[str, str]" = Factory(OrderedDict)

    def add(self, message_id: str, name: str) -> None:
        """Keep the name of a message."""
        self._names[message_id] = name
        while len(self._names) > MOST_KEYS:
            self._names.popitem(last=False)

    def of(self, message_id: str) -> str | None:
        """Return the name of a message, if it is known."""
        return self._names.get(message_id)


@frozen
class Talk:
    """The conversations of one user."""

    server: HttpServer
    uploads: Uploads
    sent: SentKeys
    person: Person

    @property
    def chats(self) -> Chats:
        """Return the chats of the user."""
        return Chats(self.server, self.person)

    # -- reading

    async def state(self) -> Json:
        """Return what the page shows first."""
        rooms, names = self.server.rooms, await self.chats.names()
        after = await rooms.newest(names)
        return {
            "user": self.person.name,
            "assistant": rooms.assistant,
            "agents": [{"folder": each.folder, "name": each.name} for each in await self.chats.agents()],
            "after": after,
            "largest_file": self.server.config.largest_upload,
            "conversations": await self._conversations(names),
        }

    async def _conversations(self, names: Sequence[str]) -> Sequence[Json]:
        found = [
            shown.conversation(each, self._name(each.first))
            for chat in names
            for each in await self.server.rooms.room(chat).summaries(MOST_CONVERSATIONS)
        ]
        return sorted(found, key=lambda each: int(each["seq"]), reverse=True)[:MOST_CONVERSATIONS]

    async def history(self, where: Conversation, before: int | None) -> Json:
        """Return a page of a conversation, oldest first."""
        room = self.server.rooms.room(where.chat)
        found = await room.history(thread=where.thread, before=before, limit=PAGE)
        visible = [each for each in found if not each.content.get("deleted")]
        return {"messages": [await self.shown(each) for each in visible], "more": len(found) == PAGE}

    async def shown(self, entry: Entry) -> Json:
        """Return a message as the page shows it."""
        await markdown.rendered_ahead(shown.rendered_parts(entry))
        message = shown.message(entry, self.server.rooms.assistant)
        return {**message, "thread": self._name(entry), "client_id": self.sent.of(entry.message_id)}

    def _name(self, entry: Entry) -> str:
        return Conversation(entry.chat, entry.thread).name(self.person.user)

    # -- writing

    async def send(self, found: Json) -> Json:
        """Send a message, or change one that was sent before.

        Raises:
            ApiError: it is refused, or was not stored.
        """
        where, id_ = self._where(found), requests.name(found.get("id"), "id")
        text = requests.text(found, "text", requests.LONGEST_TEXT, empty=True)
        if found.get("version") is not None:
            return await self._edit(where, str(found["id"]), text, requests.name(found["version"], "version"))
        files = _file_ids(found)
        if not text.strip() and not files:
            raise ApiError(422, "a message needs a text or a file", param="text")
        return await self._post(await self.chats.room(where), where, Post(text, where.thread, key=id_), files)

    async def _post(self, room: HttpRoom, where: Conversation, post: Post, files: Sequence[str]) -> Json:
        assert post.key is not None  # noqa: S101 -- the page names each
        id_ = posted_id(self.person, post.key)
        self.sent.add(id_, post.key)
        uploads = self.uploads.find(self.person.user, files)
        if uploads is None:
            return await self._stored_before(room, id_)
        whole = Post(post.text, where.thread, await self._kept(where.chat, id_, uploads), post.key)
        try:
            posted = await room.post(self.person, whole)
        except KeyReused as error:
            raise ApiError(409, str(error), code="key_reused") from error
        except InProgress as error:
            raise ApiError(503, str(error), retry_after_s=1) from error
        except NotAccepted as error:
            raise ApiError(503, f"The message was not stored: {error}", retry_after_s=2) from error
        except BadEvent as error:
            raise ApiError(422, str(error)) from error
        await self.uploads.remove(self.person.user, files)
        return await self._told(room, posted)

    async def _kept(self, chat: str, id_: str, uploads: Sequence[Upload]) -> tuple[Upload, ...]:
        """Keep the files of a message for its page, too: the host takes a copy of its own."""
        files = [OutgoingFile(each.name, each.path, each.size) for each in uploads]
        try:
            kept = await self.server.files.keep(chat, id_, files) if files else []
        except OSError as error:
            raise ApiError(507, f"the files cannot be stored: {error.strerror}", code="not_stored") from error
        return tuple(evolve(upload, kept=file.id) for upload, file in zip(uploads, kept, strict=True))

    async def _stored_before(self, room: HttpRoom, id_: str) -> Json:
        """Return a message whose files are gone because it was stored before."""
        entry = await room.message(id_)
        if entry is None:
            raise ApiError(410, "The files are not here any more. Add them again.", code="files_gone")
        return {"message": await self.shown(entry)}

    async def _told(self, room: HttpRoom, posted: Posted) -> Json:
        entry = None if posted.dropped else await room.message(posted.id)
        message = {"message": await self.shown(entry)} if entry else {}
        return {**message, "id": posted.id, "held": posted.held, "dropped": posted.dropped}

    async def _edit(self, where: Conversation, id_: str, text: str, version: str) -> Json:
        if not text.strip():
            raise ApiError(422, "a message needs a text: delete it instead", param="text")
        room, entry = await self._own(where, id_)
        message = ChatMessage(id_, text, self.person.name, self.person.user_id)
        address = room.address(entry.thread)
        routed = await self._offer(InboundEvent(address, id_, message, version))
        if routed.dropped is None:
            await self._change(entry, "edit", version, {"text": text})
        return {"dropped": routed.dropped}

    async def delete(self, found: Json) -> Json:
        """Delete a message of the user.

        Raises:
            ApiError: it is not theirs, or the deletion was not stored.
        """
        room, entry = await self._own(self._where(found), requests.name(found.get("id"), "id"))
        await self._offer(Deleted(room.address(entry.thread), entry.message_id, self.person.user_id))
        await self._change(entry, "edit", "deleted", {"text": "", "deleted": True})
        return {}

    async def react(self, found: Json) -> Json:
        """React to a message of an agent, or take that back.

        Raises:
            ApiError: there is no such message, or the reaction was not stored.
        """
        emoji, key = requests.text(found, "emoji"), requests.name(found.get("event_id"), "event_id")
        removed = found.get("removed") is True
        room, entry = await self._message(self._where(found), requests.text(found, "id"))
        reacted = Reacted(
            room.address(entry.thread),
            key,
            entry.message_id,
            emoji,
            self.person.name,
            self.person.user_id,
            removed=removed,
        )
        await self._offer(reacted)
        others = [each for each in entry.content.get("user_reactions", ()) if each != emoji]
        mine = others if removed else [*others, emoji][-MOST_REACTIONS:]
        await self._change(entry, "user_reaction", key, {"user_reactions": mine})
        return {}

    async def press(self, found: Json) -> Json:
        """Answer a question by a button or a text. Return why it does not count, if it does not.

        Raises:
            ApiError: there is no such card, or the answer was not stored.
        """
        question = requests.text(found, "question_id", 1000)
        value = requests.text(found, "value", 1000, empty=True)
        text = requests.text(found, "text", requests.LONGEST_TEXT) if found.get("text") is not None else None
        room, entry = await self._message(self._where(found), requests.text(found, "id"))
        try:
            routed = await room.click(self.person, question, value, thread=entry.thread, text=text)
        except NotAccepted as error:
            raise ApiError(503, f"The answer was not stored: {error}", retry_after_s=2) from error
        except BadEvent as error:
            raise ApiError(422, str(error)) from error
        return {"dropped": routed.dropped}

    # -- parts

    def _where(self, found: Json) -> Conversation:
        return Conversation.named(self.person.user, requests.text(found, "thread", 200, empty=True))

    async def _message(self, where: Conversation, id_: str) -> tuple[HttpRoom, Entry]:
        room = self.server.rooms.room(where.chat)
        entry = await room.message(id_)
        if entry is None or entry.content.get("deleted"):
            raise ApiError(404, "This message is not here any more.", code="no_such_message")
        return room, entry

    async def _own(self, where: Conversation, id_: str) -> tuple[HttpRoom, Entry]:
        room, entry = await self._message(where, id_)
        if entry.kind != "user":
            raise ApiError(403, "Only your own messages can be changed.", code="not_yours")
        return room, entry

    async def _offer(self, event: Event) -> Routed:
        try:
            return await self.server.rooms.offer(event)
        except NotAccepted as error:
            raise ApiError(503, f"This was not stored: {error}", retry_after_s=2) from error
        except BadEvent as error:
            raise ApiError(422, str(error)) from error

    async def _change(self, entry: Entry, kind: EntryKind, key: str, content: Json) -> None:
        await self.server.rooms.add(
            NewEntry(
                entry.chat,
                entry.thread,
                kind,
                entry.message_id,
                f"{entry.message_id}:{key}",
                content,
                self.server.clock.now(),
                self.person.name,
            )
        )


def _file_ids(found: Json) -> Sequence[str]:
    files = found.get("files", [])
    if not isinstance(files, list) or len(files) > MOST_FILES:
        raise ApiError(422, f"files must be a list of at most {MOST_FILES}", param="files")
    return [requests.name(each.get("id") if isinstance(each, dict) else None, "files") for each in files]
