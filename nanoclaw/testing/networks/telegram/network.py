"""The fake Telegram itself: its people and chats, the queue of updates, and its faults."""

import json
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from math import ceil
from typing import Any

import httpx2
import trio
from attrs import Factory, define, evolve, field

from nanoclaw.system.clock import SystemClock
from nanoclaw.testing.networks.telegram.api import DEFAULT_UPDATES, METHODS, SHOWING, ApiError, Call
from nanoclaw.testing.networks.telegram.chats import FakeChat, FakeFile, FakeMessage, FakeUser, Json
from nanoclaw.testing.networks.telegram.wire import (
    Handler,
    HttpServer,
    Request,
    Response,
    open_http_server,
)

WEBHOOK_PAUSE_S = 0.05
FIRST = {"user": 100, "group": 500, "update": 7_000, "album": 1, "file": 1, "press": 1}


@define(eq=False)
class FakeTelegram:
    """A Telegram with one bot. `open_fake_telegram` makes it."""

    token: str = "7000001:fake-token"  # noqa: S105 -- not a secret: the bot exists in this process alone
    """The bot's token. Set another one to have the old one refused."""
    username: str = "fake_assistant_bot"
    """The bot's name."""
    bot_id: int = 7_000_001
    chats: dict[int, FakeChat] = Factory(dict)
    users: dict[int, FakeUser] = Factory(dict)
    files: dict[str, FakeFile] = Factory(dict)
    updates: list[Json] = Factory(list)
    """The updates that the bot has yet to confirm."""
    calls: list[Call] = Factory(list)
    """All calls of the bot."""
    notices: list[str] = Factory(list)
    """What users were shown after they had pressed a button; empty where nothing was."""
    presses: set[str] = Factory(set)
    """The presses that wait for an answer."""
    webhook: str | None = None
    pace_s: float = 0.0
    """If more than 0: seconds between two messages or edits of one chat. Sooner ones are refused with 429."""
    slow_s: float = 0.0
    """Seconds that a change takes that users see."""
    poller: object = None
    _server: HttpServer = field(init=False)
    _secret: str = ""
    _webhook_kinds: Collection[str] = DEFAULT_UPDATES
    _numbers: Counter[str] = Factory(Counter)
    _changed: trio.Event = Factory(trio.Event)
    _refusal: ApiError | None = None
    _silent: bool = False
    _floods: dict[int | None, list[float]] = Factory(dict)
    _last_shown: dict[int, float] = Factory(dict)

    @property
    def api_base(self) -> str:
        """Return the address to give to a bot in place of `https://api.telegram.org`."""
        return self._server.url

    # -- people and chats

    def next_id(self, kind: str) -> int:
        """Return the next number of a kind."""
        self._numbers[kind] += 1
        return FIRST.get(kind, 1) + self._numbers[kind] - 1

    def user(self, name: str) -> FakeUser:
        """Make a person, who has a direct chat with the bot."""
        id_ = self.next_id("user")
        chat = self.chats[id_] = FakeChat(id_, "private", name, [id_])
        self.users[id_] = FakeUser(id_, name, name.lower(), chat, self)
        return self.users[id_]

    def group(
        self, title: str, members: Sequence[FakeUser], *, topics: Sequence[str] = (), old: bool = False
    ) -> FakeChat:
        """Make a supergroup, perhaps with topics, or a group of the old kind. The bot is in it."""
        number = self.next_id("group")
        id_, kind = (-number, "group") if old else (-1_000_000_000_000 - number, "supergroup")
        chat = self.chats[id_] = FakeChat(
            id_, kind, title, [one.id for one in members], is_forum=bool(topics)
        )
        chat.topics = {self.next_id(f"message {id_}"): topic for topic in topics}
        return chat

    def shown(self, chat: FakeChat, thread: int | None = None) -> list[FakeMessage]:
        """Return the bot's messages that users see in a chat, or in a topic, oldest first."""
        ours = (one for one in chat.messages.values() if one.sender_id == self.bot_id)
        return [one for one in ours if thread is None or one.thread_id == thread]

    def renames(self, user: FakeUser, chat: FakeChat, title: str) -> int:
        """Give a group another title."""
        chat.title = title
        return self._serviced(user, chat, {"new_chat_title": title})

    def joins(self, user: FakeUser, chat: FakeChat) -> int:
        """Bring a person into a group."""
        chat.members.append(user.id)
        return self._serviced(user, chat, {"new_chat_members": [user.as_json()]})

    def leaves(self, user: FakeUser, chat: FakeChat) -> int:
        """Let a person leave a group."""
        chat.members.remove(user.id)
        return self._serviced(user, chat, {"left_chat_member": user.as_json()})

    def migrates(self, user: FakeUser, chat: FakeChat) -> FakeChat:
        """Make a supergroup of a group. Its messages begin at 1 again."""
        number = self.next_id("group")
        new = FakeChat(-1_000_000_000_000 - number, "supergroup", chat.title, [*chat.members])
        self.chats[new.id] = new
        self._serviced(user, chat, {"migrate_to_chat_id": new.id})
        chat.moved_to = new.id
        self._serviced(user, new, {"migrate_from_chat_id": chat.id})
        return new

    def _serviced(self, user: FakeUser, chat: FakeChat, what: Json) -> int:
        id_ = self.next_id(f"message {chat.id}")
        base = {"message_id": id_, "date": self._date(), "chat": chat.as_json(), "from": user.as_json()}
        return self.queue("message", base | what)

    # -- acts of people

    def posted(self, user: FakeUser, chat: FakeChat, message: FakeMessage) -> int:
        """Show a user's message. Return the id of its update."""
        message.id = self.next_id(f"message {chat.id}")
        chat.messages[message.id] = message
        return self.queue("message", self.message_json(chat, message, user))

    def edited(self, user: FakeUser, chat: FakeChat, message: FakeMessage) -> int:
        """Tell of an edit."""
        shown = self.message_json(chat, message, user) | {"edit_date": self._date()}
        return self.queue("edited_message", shown)

    def reacted(self, user: FakeUser, chat: FakeChat, message: FakeMessage, emojis: Sequence[str]) -> int:
        """Change a user's reaction."""
        before, message.reactions[user.id] = message.reactions.get(user.id, ()), tuple(emojis)
        lists = {"old_reaction": before, "new_reaction": emojis}
        changed = {name: [{"type": "emoji", "emoji": one} for one in shown] for name, shown in lists.items()}
        base: Json = {"chat": chat.as_json(), "message_id": message.id, "date": self._date()}
        return self.queue("message_reaction", base | {"user": user.as_json()} | changed)

    def pressed(self, user: FakeUser, chat: FakeChat, message: FakeMessage, data: str) -> int:
        """Press a button."""
        id_ = str(self.next_id("press"))
        self.presses.add(id_)
        shown = self.message_json(chat, message)
        press = {"id": id_, "from": user.as_json(), "message": shown, "chat_instance": "1", "data": data}
        return self.queue("callback_query", press)

    def stored(self, file: FakeFile) -> FakeFile:
        """Keep a file for downloads."""
        id_ = file.id or f"file-{self.next_id('file')}"
        self.files[id_] = evolve(file, id=id_)
        return self.files[id_]

    def queue(self, kind: str, what: Any) -> int:
        """Queue an update of any kind and content, hostile ones too. Return its id."""
        id_ = self.next_id("update")
        self.updates.append({"update_id": id_, kind: what})
        self._notify()
        return id_

    async def confirmed(self, update_id: int) -> None:
        """Wait until the bot has confirmed an update."""
        while any(one["update_id"] <= update_id for one in self.updates):
            await self.changed()

    async def until_shown(self, chat: FakeChat, count: int = 1) -> list[FakeMessage]:
        """Wait until the chat has so many messages of the bot, and return them."""
        while len(self.shown(chat)) < count:
            await self.changed()
        return self.shown(chat)

    async def until_called(self, method: str, times: int = 1) -> list[Call]:
        """Wait until the bot has called a method so often, and return the calls."""
        while len(found := [one for one in self.calls if one.method == method]) < times:
            await self.changed()
        return found

    async def changed(self) -> None:
        """Wait until something happens."""
        await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- faults

    def gone(self) -> AbstractContextManager[None]:
        """Be unreachable while the block runs."""
        return self._server.gone()

    @contextmanager
    def refusing(self, status: int, description: str, parameters: Json | None = None) -> Iterator[None]:
        """Refuse each message, edit and reaction while the block runs."""
        self._refusal = ApiError(status, description, parameters)
        try:
            yield
        finally:
            self._refusal = None

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Do what is asked while the block runs, but close the connection in place of an answer."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    @contextmanager
    def discarding(self) -> Iterator[None]:
        """Keep only a part of large files that the bot sends while the block runs."""
        self._server.discards = True
        try:
            yield
        finally:
            self._server.discards = False

    def flood(self, retry_after: float, times: int = 1, chat: FakeChat | None = None) -> None:
        """Refuse the next messages, perhaps only of one chat, with 429."""
        self._floods.setdefault(None if chat is None else chat.id, []).extend([retry_after] * times)

    # -- the queue of updates

    def confirm_before(self, offset: int) -> None:
        """Forget the updates before an offset. A negative one keeps so many of the newest."""
        kept = (
            self.updates[offset:]
            if offset < 0
            else [one for one in self.updates if one["update_id"] >= offset]
        )
        if len(kept) != len(self.updates):
            self.updates = kept
            self._notify()

    def keep_kinds(self, kinds: Collection[str]) -> None:
        """Forget the updates of kinds that the bot does not want."""
        kept = [one for one in self.updates if set(one) & {*kinds} or len(one) < 2]  # noqa: PLR2004 -- no kind
        if len(kept) != len(self.updates):
            self.updates = kept
            self._notify()

    def new_poller(self) -> object:
        """End the poll that is under way, and begin another."""
        self.poller = object()
        self._notify()
        return self.poller

    def use_webhook(self, url: str | None, secret: str, kinds: Collection[str] | None) -> None:
        """Send updates to an address, or no longer."""
        self.webhook, self._secret = url, secret
        self._webhook_kinds = kinds or DEFAULT_UPDATES
        self.new_poller()

    async def _push(self) -> None:
        """Send updates to the webhook, one at a time, until each is accepted."""
        async with httpx2.AsyncClient(timeout=5.0) as client:
            while True:
                if self.webhook is not None:
                    self.keep_kinds(self._webhook_kinds)
                if self.webhook is None or not self.updates:
                    await self.changed()
                elif not await self._pushed(client, self.webhook, self.updates[0]):
                    await trio.sleep(WEBHOOK_PAUSE_S)

    async def _pushed(self, client: httpx2.AsyncClient, url: str, update: Json) -> bool:
        headers = {"X-Telegram-Bot-Api-Secret-Token": self._secret} if self._secret else {}
        try:
            response = await client.post(url, json=update, headers=headers)
        except httpx2.HTTPError:
            return False
        if response.is_success:
            self.confirm_before(update["update_id"] + 1)
        return response.is_success

    # -- answers

    def bot_json(self) -> Json:
        """Return the bot as the Bot API shows it."""
        return {"id": self.bot_id, "is_bot": True, "first_name": "Assistant", "username": self.username}

    def shown_by_bot(self, chat: FakeChat, message: FakeMessage) -> Json:
        """Show a message of the bot. It takes the place of a draft."""
        message.id = self.next_id(f"message {chat.id}")
        chat.messages[message.id], chat.draft = message, None
        return self.message_json(chat, message)

    def message_json(self, chat: FakeChat, message: FakeMessage, user: FakeUser | None = None) -> Json:
        """Return a message as the Bot API shows it."""
        sender = (
            self.bot_json() if message.sender_id == self.bot_id else self.users[message.sender_id].as_json()
        )
        shown: Json = {
            "message_id": message.id,
            "date": self._date(),
            "chat": chat.as_json(),
            "from": user.as_json() if user else sender,
        }
        shown |= _content_json(message)
        if message.thread_id is not None:
            shown |= {"message_thread_id": message.thread_id, "is_topic_message": True}
        if message.reply_to in chat.messages:
            shown["reply_to_message"] = self.message_json(chat, chat.messages[message.reply_to])
        if message.media_group_id is not None:
            shown["media_group_id"] = message.media_group_id
        return shown

    @staticmethod
    def _date() -> int:
        return int(SystemClock().now().timestamp())

    async def answer(self, request: Request) -> Response | None:
        """Answer a request."""
        _, _, rest = request.path.partition("/")
        if rest.startswith("file/"):
            return self._download(rest)
        bot, _, method = rest.partition("/")
        call = Call(method, request.fields, request.files, trio.current_time())
        self.calls.append(call)
        try:
            result = await self._result(bot, call)
        except ApiError as error:
            body = {"ok": False, "error_code": error.status, "description": str(error)}
            body |= {"parameters": error.parameters} if error.parameters else {}
            return Response(error.status, json.dumps(body).encode())
        finally:
            self._notify()
        if self._silent and method in SHOWING:
            return None
        return Response(200, json.dumps({"ok": True, "result": result}).encode())

    async def _result(self, bot: str, call: Call) -> Any:
        if bot != f"bot{self.token}":
            raise ApiError(401, "Unauthorized")
        if call.method not in METHODS:
            raise ApiError(404, "Not Found: method not found")
        if call.method in SHOWING:
            self._fail(call)
            await trio.sleep(self.slow_s)
        return await METHODS[call.method](self, call)

    def _fail(self, call: Call) -> None:
        """Raise the fault that is wanted for a message."""
        if self._refusal is not None:
            raise self._refusal
        chat = call.number("chat_id") or 0
        floods = self._floods.get(chat) or self._floods.get(None)
        wait = floods.pop(0) if floods else self._last_shown.get(chat, -1e9) + self.pace_s - call.at
        if wait > 0:
            seconds = ceil(wait)
            parameters = {"retry_after": seconds}
            raise ApiError(429, f"Too Many Requests: retry after {seconds}", parameters)
        self._last_shown[chat] = call.at

    def _download(self, path: str) -> Response:
        _, bot, _, *rest = path.split("/")
        file = self.files.get(rest[0] if rest else "")
        if bot != f"bot{self.token}" or file is None:
            return Response(404, b'{"ok":false,"error_code":404,"description":"Not Found"}')
        return Response(200, file.data, "application/octet-stream")


def _content_json(message: FakeMessage) -> Json:
    """Return the text or file of a message as the Bot API shows it."""
    shown: Json = {}
    if message.keyboard:
        shown["reply_markup"] = {"inline_keyboard": message.keyboard}
    if message.file is None:
        return shown | {"text": message.text} | ({"entities": message.entities} if message.entities else {})
    if message.text:
        shown |= {"caption": message.text, "caption_entities": message.entities}
    return shown | _file_json(message.file)


def _file_json(file: FakeFile) -> Json:
    base: Json = {"file_id": file.id, "file_unique_id": file.id, "file_size": file.size}
    picture = {"width": 9, "height": 9}
    named = {"file_name": file.name} if file.name else {}
    more: dict[str, Json] = {
        "document": named,
        "audio": {"duration": 1} | named,
        "voice": {"duration": 1, "mime_type": "audio/ogg"},
        "video": picture | {"duration": 1} | named,
        "animation": picture | {"duration": 1} | named,
        "video_note": {"length": 9, "duration": 1},
        "sticker": picture | {"type": "regular", "is_animated": False, "is_video": False, "emoji": "👍"},
    }
    if file.kind == "photo":
        thumbnail = base | picture | {"file_id": "thumbnail", "file_size": 1}
        return {"photo": [thumbnail, base | {"width": 99, "height": 99}]}
    return {file.kind: base | more[file.kind]}


@asynccontextmanager
async def open_fake_telegram() -> AsyncGenerator[FakeTelegram]:
    """Serve a Telegram with one bot on loopback while the block runs."""
    telegram = FakeTelegram()
    handler: Handler = telegram.answer
    async with open_http_server(handler) as server:
        telegram._server = server  # noqa: SLF001 -- its own maker
        server.nursery.start_soon(telegram._push)  # noqa: SLF001 -- likewise
        yield telegram
