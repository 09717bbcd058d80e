"""The chats of the channel: posting to them, and following them.

The APIs and the web chat share this. A room is a chat; what is said there is in the transcript.

    room = server.rooms.room(chat)
    posted = await room.post(person, Post("hello", thread="t1", key="client-made"))
    history = await room.history(thread="t1")                 # messages as they are now
    async for update in server.rooms.follow([chat], after=history[-1].seq):
        match update: ...                                     # Entry | Drafted | Working | Settled

An `Entry` has a number, `seq`. A client that reconnects goes on with `after` = the last number that it has
seen. The other updates are hints without a number, which may be lost.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path
from random import Random
from typing import Any, Self

import trio
from attrs import Factory, define, field, frozen

from nanoclaw.channels.http.live import Live
from nanoclaw.channels.http.signal import Signal
from nanoclaw.channels.http.updates import Drafted, Update
from nanoclaw.records import (
    Address,
    Attachment,
    BadEvent,
    ChatMessage,
    Clicked,
    InboundEvent,
    Intake,
    NotAccepted,
    ReplyTo,
    Routed,
)
from nanoclaw.store import Connection
from nanoclaw.store.transcript import callbacks, entries, requests
from nanoclaw.store.transcript.entries import Entry, NewEntry, Thread
from nanoclaw.store.transcript.opening import Transcript
from nanoclaw.system.clock import Clock
from nanoclaw.system.ids import new_id

PREFIX = "http"
"""The prefix of the ids of users."""
STORED_WITHIN_S = 30.0
"""Time limit in seconds for the host to store an event."""
AT_ONCE = 100
"""Entries that are read at a time."""


class KeyReused(Exception):
    """An idempotency key came with another request before. The text says so."""


class InProgress(Exception):
    """The same request is being handled now."""


@frozen
class Person:
    """A user of the channel."""

    user: str
    """The name of the user's keys, such as `ann`. Two users never have the same."""
    name: str
    """The name for agents and other people."""

    @property
    def user_id(self) -> str:
        """The id to which rights belong."""
        return f"{PREFIX}:{self.user}"


@frozen
class Upload:
    """A file that a user sends. The channel removes it once the host has it."""

    name: str
    type: str
    """The kind of file, such as `image/png`."""
    path: Path
    size: int
    digest: str
    """The SHA-256 of the content."""
    kept: str | None = None
    """The id under which the channel keeps it for downloads, if it does."""

    def shown(self) -> Mapping[str, Any]:
        """Return its part of an entry."""
        id_ = {} if self.kept is None else {"id": self.kept}
        return {**id_, "name": self.name, "size": self.size}


@frozen
class Post:
    """A message of a user."""

    text: str
    thread: str = ""
    """The thread; empty for the chat itself."""
    files: tuple[Upload, ...] = ()
    key: str | None = None
    """An idempotency key: a post that is repeated with it is stored once."""
    reply_to: str | None = None
    """The id of the message that this one replies to."""
    callback: str | None = None
    """An address that is told of the answers."""

    @property
    def digest(self) -> str:
        """The digest by which a repeated post is recognized."""
        given = (self.text, self.thread, self.reply_to or "", self.callback or "")
        parts = (*given, *(f"{each.name} {each.digest}" for each in self.files))
        return sha256("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "replace")).hexdigest()


@frozen
class Posted:
    """The outcome of a post."""

    id: str
    """The id of the message. Answers name it as `in_reply_to`."""
    seq: int
    """The number of its entry: answers have higher numbers."""
    held: str | None = None
    """A sentence if it waits until its sender or its chat is let in."""
    dropped: str | None = None
    """The reason why no agent gets it. It is not in the transcript."""
    repeated: bool = False
    """True if it was stored before, under the same key."""


@define(eq=False)
class Rooms:
    """All chats of the channel."""

    channel_type: str
    transcript: Transcript
    intake: Intake
    clock: Clock
    random: Random
    assistant: str
    """The assistant's name, for mentions."""
    shared: Collection[str] = ()
    """The chats of several users."""
    live: Live = Factory(Live)
    answered: Signal = Factory(Signal)
    """Tells of a new entry that answers a message."""
    _posting: set[tuple[str, str]] = Factory(set)
    """The users and idempotency keys of posts that are being stored."""

    def room(self, chat: str) -> "HttpRoom":
        """Return a chat. It need not have messages."""
        return HttpRoom(self, chat)

    def follow(self, chats: Collection[str], after: int, since: int = -1) -> "Subscription":
        """Return the updates of chats: entries after a number, the present drafts, and all that comes.

        With `since`, a number of `Live`, also the hints that came after it.
        """
        return Subscription(self, frozenset(chats), after, since)

    async def entries(self, chats: Sequence[str], after: int, limit: int = AT_ONCE) -> Sequence[Entry]:
        """Return the entries of chats after a number, oldest first."""
        return await self.transcript.reader.run(entries.after, chats, after, limit)

    async def newest(self, chats: Sequence[str]) -> int:
        """Return the number of the newest entry of chats; 0 if there is none."""
        return await self.transcript.reader.run(entries.newest, chats)

    async def add(self, entry: NewEntry) -> Entry:
        """Store an entry and show it. One with a known key is stored once.

        If it answers a message with a callback, the callback is queued in the same transaction.
        """
        added = await self.transcript.writer.run(_add, entry)
        self.live.entered(entry.chat, entry.thread)
        if entry.in_reply_to is not None:
            self.answered.tell()
        return added

    async def offer(self, event: Any) -> Routed:
        """Offer an event to the host. When this returns, it is on disk.

        Raises:
            NotAccepted: it is not stored.
            BadEvent: a value in it does not fit.
        """
        with trio.move_on_after(STORED_WITHIN_S):
            return await self.intake.offer(event)
        raise NotAccepted(f"the host did not store it within {STORED_WITHIN_S:g} s")


@frozen
class HttpRoom:
    """One chat."""

    rooms: Rooms
    chat: str

    def address(self, thread: str = "") -> Address:
        """Return the address of the chat or of a thread in it."""
        return Address(self.rooms.channel_type, self.chat, thread or None)

    async def history(
        self, *, thread: str | None = None, before: int | None = None, limit: int = AT_ONCE
    ) -> Sequence[Entry]:
        """Return the newest messages as they are now, oldest first. `before` asks for older ones."""
        return await self.rooms.transcript.reader.run(entries.history, self.chat, thread, before, limit)

    async def threads(self, limit: int = AT_ONCE) -> Sequence[Entry]:
        """Return the first message of each thread, the thread that changed last first."""
        return await self.rooms.transcript.reader.run(entries.threads, self.chat, limit)

    async def summaries(self, limit: int = AT_ONCE) -> Sequence[Thread]:
        """Return the threads of the chat, the one with the newest message first."""
        return await self.rooms.transcript.reader.run(entries.summaries, self.chat, limit)

    async def message(self, message_id: str) -> Entry | None:
        """Return a message as it is now."""
        return await self.rooms.transcript.reader.run(entries.message, self.chat, message_id)

    async def click(
        self, person: Person, question_id: str, value: str, *, thread: str = "", text: str | None = None
    ) -> Routed:
        """Answer a question of a card by the value of an option, or by a text. Only the first answer counts.

        Raises:
            NotAccepted: it is not stored.
            BadEvent: a value does not fit.
        """
        id_ = new_id("click", self.rooms.random)
        click = Clicked(self.address(thread), id_, question_id, value, person.user_id, text)
        return await self.rooms.offer(click)

    async def post(self, person: Person, post: Post) -> Posted:
        """Store a message and offer it to the host. When this returns, it is on disk, or dropped.

        Raises:
            KeyReused: its key came with another message.
            InProgress: the same post is being stored.
            NotAccepted: it is not stored. Post it again later.
            BadEvent: a value in it does not fit.
        """
        if post.key is None:
            return await self._store(person, post, new_id("msg", self.rooms.random))
        name = (person.user, post.key)
        if name in self.rooms._posting:  # noqa: SLF001 -- both classes are one thing
            raise InProgress("a request with this idempotency key is being handled")
        self.rooms._posting.add(name)  # noqa: SLF001 -- likewise
        try:
            return await self._store_once(person, post, post.key)
        finally:
            self.rooms._posting.discard(name)  # noqa: SLF001 -- likewise

    async def _store_once(self, person: Person, post: Post, key: str) -> Posted:
        writer, now = self.rooms.transcript.writer, self.rooms.clock.now()
        digest = sha256(f"{self.chat}\n{post.digest}".encode()).hexdigest()
        earlier = await writer.run(requests.begin, person.user, key, digest, now)
        if earlier is not None and earlier.digest != digest:
            raise KeyReused("this idempotency key came with another message before: use a new one")
        if earlier is not None and earlier.answer is not None:
            return Posted(**earlier.answer, repeated=True)
        return await self._store(person, post, posted_id(person, key))

    async def _store(self, person: Person, post: Post, id_: str) -> Posted:
        writer = self.rooms.transcript.writer
        entry = await writer.run(self._begin, self._entry(person, post, id_), post.callback)
        self.rooms.live.entered(self.chat, post.thread)
        try:
            routed = await self.rooms.offer(await self._event(person, post, id_))
        except (NotAccepted, BadEvent):
            await writer.run(self._withdraw, person.user, post.key, id_)
            raise
        if routed.dropped is not None:
            await writer.run(self._withdraw, person.user, post.key, id_)
            return Posted(id_, entry.seq, dropped=routed.dropped)
        posted = Posted(id_, entry.seq, held=routed.held)
        await writer.run(self._accept, person.user, post.key, posted)
        return posted

    def _entry(self, person: Person, post: Post, id_: str) -> NewEntry:
        files = [each.shown() for each in post.files]
        content = {"text": post.text, **({"files": files} if files else {})}
        now = self.rooms.clock.now()
        return NewEntry(self.chat, post.thread, "user", id_, id_, content, now, person.name, post.reply_to)

    async def _event(self, person: Person, post: Post, id_: str) -> InboundEvent:
        reply_to = await self._reply_to(post.reply_to)
        files = tuple(Attachment(each.type, each.name, path=each.path) for each in post.files)
        is_group = self.chat in self.rooms.shared
        message = ChatMessage(
            id_,
            post.text,
            person.name,
            person.user_id,
            files,
            reply_to,
            is_mention=f"@{self.rooms.assistant}".casefold() in post.text.casefold(),
        )
        return InboundEvent(self.address(post.thread), id_, message, chat_name=self.chat, is_group=is_group)

    async def _reply_to(self, message_id: str | None) -> ReplyTo | None:
        found = None if message_id is None else await self.message(message_id)
        if found is None:
            return None
        return ReplyTo(found.author or self.rooms.assistant, str(found.content.get("text", "")), message_id)

    def _begin(self, connection: Connection, entry: NewEntry, callback: str | None) -> Entry:
        if callback is not None:
            callbacks.register(connection, entry.message_id, callback, entry.created_at)
        return entries.add(connection, entry, accepted=False)

    def _withdraw(self, connection: Connection, user: str, key: str | None, id_: str) -> None:
        entries.withdraw(connection, self.chat, id_)
        if key is not None:
            requests.forget(connection, user, key)

    def _accept(self, connection: Connection, user: str, key: str | None, posted: Posted) -> None:
        entries.accept(connection, self.chat, posted.id)
        if key is not None:
            answer = {"id": posted.id, "seq": posted.seq, "held": posted.held}
            requests.answer(connection, user, key, answer)


def _add(connection: Connection, entry: NewEntry) -> Entry:
    known = entries.has(connection, entry.chat, entry.key)
    added = entries.add(connection, entry)
    if not known and entry.in_reply_to is not None:
        callbacks.enqueue(connection, entry.in_reply_to, added.seq, entry.created_at)
    return added


def posted_id(person: Person, key: str) -> str:
    """Return the id of the message that a user posts with an idempotency key."""
    name = f"{len(person.user)}:{person.user}{key}"
    return "msg-" + blake2b(name.encode(), digest_size=10).hexdigest()


@define(eq=False)
class Subscription:
    """The updates of some chats. Entries come in the order of their numbers, each once."""

    _rooms: Rooms
    _chats: frozenset[str]
    after: int
    """The number of the last entry that was returned."""
    _hint: int = field(default=-1)
    _entries: int = field(default=-1)
    _ready: list[Update] = Factory(list)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        """Return the next update, and wait for it if there is none."""
        while not self._ready:
            self._ready = await self.batch()
        return self._ready.pop(0)

    async def batch(self) -> list[Update]:
        """Return all updates that are there, and wait if there are none."""
        live = self._rooms.live
        while True:
            changed = live.changed.event
            hints = self._hints()  # before the entries: what is settled has its entries
            found = await self._new_entries()
            shown = [hint for hint in hints if not isinstance(hint, Drafted) or live.is_shown(hint)]
            if found or shown:
                return [*found, *shown]
            await changed.wait()

    def _hints(self) -> list[Update]:
        live, before = self._rooms.live, self._hint
        self._hint = live.number
        return list(live.drafts(self._chats) if before < 0 else live.since(before, self._chats))

    async def _new_entries(self) -> Sequence[Entry]:
        number = self._rooms.live.entries
        if number == self._entries:
            return ()
        found = await self._rooms.entries(tuple(self._chats), self.after)
        if len(found) < AT_ONCE:
            self._entries = number
        if found:
            self.after = found[-1].seq
        return found


async def updates_within(subscription: Subscription, seconds: float) -> list[Update]:
    """Return the next updates, or none after a time."""
    with suppress(trio.TooSlowError), trio.fail_after(seconds):
        return await subscription.batch()
    return []
