"""The state of the fake network: its chats and messages, and what people do there.

    async with open_fake_discord() as discord:
        chat = discord.direct_chat("7", "ann")
        message = await discord.say(chat, "7", "hello")
        discord.texts(chat)                             # what people see there

It was written from Discord's documentation, not from its behaviour.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import trio
from attrs import Factory, define

from nanoclaw.system.clock import SystemClock
from nanoclaw.testing.networks.discord.sessions import Sessions

Json = dict[str, Any]
BOT, APPLICATION = "900", "901"
EPOCH_MS = 1_420_070_400_000
"""The beginning of Discord's ids."""
TEXT, DM, PUBLIC_THREAD = 0, 1, 11
MESSAGE, LATER, UNCHANGED = 4, 5, 6
"""Kinds of answers to interactions."""
ONLY_FOR_USER = 64
ANSWER_S = 3.0
"""Seconds in which an interaction must be answered."""
CONTENT_INTENT = 1 << 15


@define(eq=False)
class Pressed:
    """An interaction, and how the bot answered."""

    id: str
    token: str
    channel: str
    answered: trio.Event = Factory(trio.Event)
    kind: int | None = None
    """The kind of the first answer."""
    private: list[str] = Factory(list)
    """The texts that only the user sees."""


@define(eq=False)
class FakeDiscord:
    """A Discord with one bot."""

    token: str = "bot-token"  # noqa: S105 -- a fake's
    sessions: Sessions = Factory(Sessions)
    address: str = ""
    """The address of the server."""
    users: dict[str, Json] = Factory(dict)
    channels: dict[str, Json] = Factory(dict)
    messages: dict[str, list[Json]] = Factory(dict)
    """The messages of each channel, oldest first. Each thread is a channel."""
    files: dict[str, bytes | int] = Factory(dict)
    """The content of each attachment, or its size: then it is made of zeros while it is sent."""
    reactions: list[tuple[str, str]] = Factory(list)
    """The bot's reactions: message and emoji."""
    typing: list[str] = Factory(list)
    """The chats in which the bot showed that it types."""
    commands: list[Json] = Factory(list)
    """The registered commands."""
    interactions: dict[str, Pressed] = Factory(dict)
    calls: list[tuple[str, str]] = Factory(list)
    """The method and path of each call of the HTTP API."""
    may_read: bool = True
    """True if the bot has the Message Content Intent."""
    fault: Callable[[str, str], tuple[int, Json, dict[str, str]] | None] | None = None
    """Returns status, JSON and headers instead of handling a call, for its method and path."""
    is_silent: bool = False
    """True while messages are taken without an answer: with the status 503, or, if it `hangs`, with none."""
    hangs: bool = False
    is_down: bool = False
    bucket: tuple[int, float] | None = None
    """The messages that may be sent to a chat in so many seconds. None: any number."""
    used: dict[str, list[float]] = Factory(dict)
    _nonces: dict[str, Json] = Factory(dict)
    _numbers: "count[int]" = Factory(lambda: count(1))

    # -- addresses --

    @property
    def api_base(self) -> str:
        """The address of the HTTP API, for `api_base`."""
        return f"http://{self.address}/api/v10"

    @property
    def gateway(self) -> str:
        """The address of the gateway, for `gateway`."""
        return f"ws://{self.address}/gateway/"

    # -- chats --

    def user(self, id_: str, name: str) -> Json:
        """Return a person. Unknown ones are made."""
        return self.users.setdefault(
            id_, {"id": id_, "username": name, "discriminator": "0", "global_name": None, "avatar": None}
        )

    @property
    def bot(self) -> Json:
        """The bot's account."""
        return self.user(BOT, "nano") | {"bot": True}

    def direct_chat(self, user: str, name: str) -> str:
        """Return the direct chat of a person. It is opened if there is none."""
        person = self.user(user, name)
        for id_, each in self.channels.items():
            if each["type"] == DM and each["recipients"][0]["id"] == user:
                return id_
        return self._channel({"type": DM, "recipients": [person]})

    def text_channel(self, name: str, guild: str = "800") -> str:
        """Make a channel of a server, and return its id."""
        return self._channel({"type": TEXT, "name": name, "guild_id": guild})

    async def thread(self, parent: str, name: str) -> str:
        """Make a thread of a channel, and return its id."""
        guild = self.channels[parent]["guild_id"]
        id_ = self._channel({"type": PUBLIC_THREAD, "name": name, "guild_id": guild, "parent_id": parent})
        await self.sessions.dispatch("THREAD_CREATE", self.channels[id_])
        return id_

    def _channel(self, channel: Json) -> str:
        id_ = self.snowflake()
        self.channels[id_], self.messages[id_] = {"id": id_, "last_message_id": None} | channel, []
        return id_

    def guild(self, id_: str) -> Json:
        """Return a server as the gateway shows it."""
        mine = [each for each in self.channels.values() if each.get("guild_id") == id_]
        return {
            "id": id_,
            "name": f"Server {id_}",
            "roles": [{"id": "950", "name": "nano", "tags": {"bot_id": BOT}}],
            "channels": [each for each in mine if each["type"] == TEXT],
            "threads": [each for each in mine if each["type"] == PUBLIC_THREAD],
        }

    @property
    def guilds(self) -> Sequence[str]:
        """The ids of the bot's servers."""
        return sorted({each["guild_id"] for each in self.channels.values() if each.get("guild_id")})

    def snowflake(self) -> str:
        """Return a new id, larger than all before."""
        return str((int(SystemClock().now().timestamp() * 1000) - EPOCH_MS << 22) + next(self._numbers))

    # -- what people do --

    async def say(  # noqa: PLR0913 -- everything a person can do in one message
        self,
        channel: str,
        user: str,
        text: str,
        *,
        reply_to: str | None = None,
        mentions: Sequence[str] = (),
        files: Sequence[tuple[str, bytes | int]] = (),
        **more: Any,
    ) -> str:
        """Let a person write, and return the message's id. Bots confirm nothing, so none is awaited."""
        message = self.add_message(channel, self.user(user, f"user{user}"), text)
        message["mentions"] = [self.bot if one == BOT else self.users[one] for one in mentions]
        message["attachments"] = [self.attach(channel, *each) for each in files]
        if reply_to is not None:
            message |= {"type": 19, "referenced_message": self.find(channel, reply_to)}
        await self.tell("MESSAGE_CREATE", channel, message | more)
        return str(message["id"])

    async def edit(self, channel: str, message: str, text: str) -> None:
        """Let a person change a message."""
        found = self.find(channel, message)
        found |= {"content": text, "edited_timestamp": _now()}
        await self.tell("MESSAGE_UPDATE", channel, found)

    async def delete(self, channel: str, message: str) -> None:
        """Let a person delete a message."""
        self.messages[channel].remove(self.find(channel, message))
        await self.tell("MESSAGE_DELETE", channel, {"id": message, "channel_id": channel})

    async def react(self, channel: str, message: str, user: str, emoji: str, *, added: bool = True) -> None:
        """Let a person react to a message, or take that back."""
        reaction = {
            "user_id": user,
            "channel_id": channel,
            "message_id": message,
            "emoji": {"id": None, "name": emoji},
            "member": {"user": self.users[user]},
        }
        await self.tell(f"MESSAGE_REACTION_{'ADD' if added else 'REMOVE'}", channel, reaction)

    async def rename(self, channel: str, name: str) -> None:
        """Give a channel of a server another name."""
        self.channels[channel]["name"] = name
        await self.sessions.dispatch("CHANNEL_UPDATE", self.channels[channel])

    async def press(self, channel: str, user: str, label: str) -> Pressed:
        """Let a person press the button with a label on the newest card that has one."""
        for message in reversed(self.messages[channel]):
            for button in (one for row in message.get("components") or () for one in row["components"]):
                if button["label"] == label:
                    return await self._interact(channel, user, 3, {"custom_id": button["custom_id"]})
        raise LookupError(f"no button {label!r} in {channel}")

    async def command(self, channel: str, user: str, name: str, **options: str) -> Pressed:
        """Let a person use a command."""
        values = [{"name": key, "type": 3, "value": value} for key, value in options.items()]
        return await self._interact(channel, user, 2, {"name": name, "options": values})

    async def _interact(self, channel: str, user: str, kind: int, data: Json) -> Pressed:
        pressed = Pressed(self.snowflake(), f"token-{next(self._numbers)}", channel)
        self.interactions[pressed.token] = pressed
        person = self.user(user, f"user{user}")
        in_server = "guild_id" in self.channels[channel]
        by = {"member": {"user": person}} if in_server else {"user": person}
        what = {"id": pressed.id, "token": pressed.token, "type": kind, "application_id": APPLICATION}
        await self.tell("INTERACTION_CREATE", channel, what | {"channel_id": channel, "data": data} | by)
        return pressed

    async def tell(self, name: str, channel: str, data: Json) -> None:
        """Send an event of a channel to the bot."""
        guild = self.channels[channel].get("guild_id")
        await self.sessions.dispatch(name, data | ({"guild_id": guild} if guild else {}))

    # -- what people see --

    def texts(self, channel: str) -> Sequence[str]:
        """Return the texts of the bot in a channel, oldest first."""
        return [one["content"] for one in self.of_bot(channel)]

    def of_bot(self, channel: str) -> Sequence[Json]:
        """Return the messages of the bot in a channel, oldest first."""
        return [one for one in self.messages[channel] if one["author"]["id"] == BOT]

    def sent_files(self, channel: str) -> Sequence[tuple[str, bytes | int]]:
        """Return the files of the bot in a channel, oldest first."""
        found = (file for one in self.of_bot(channel) for file in one["attachments"])
        return [(file["filename"], self.files[file["id"]]) for file in found]

    def find(self, channel: str, message: str) -> Json:
        """Return a message. Raises LookupError."""
        for one in self.messages.get(channel, ()):
            if one["id"] == message:
                return one
        raise LookupError(f"no message {message} in {channel}")

    # -- faults --

    @contextmanager
    def down(self) -> Iterator[None]:
        """Answer nothing but 503 while the block runs, also at the gateway."""
        self.is_down = True
        self.sessions.drop()
        try:
            yield
        finally:
            self.is_down = False

    @contextmanager
    def failing(
        self, status: int, code: int = 0, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Iterator[None]:
        """Answer calls that send messages with an error while the block runs."""

        def fault(method: str, path: str) -> tuple[int, Json, dict[str, str]] | None:
            if method == "POST" and path.endswith("/messages"):
                return status, {"message": "No", "code": code} | more, headers or {}
            return None

        self.fault = fault
        try:
            yield
        finally:
            self.fault = None

    def flood(self, retry_after_s: float) -> Any:
        """Answer calls that send messages with 429 while the block runs."""
        headers = {"Via": "1.1 google", "Retry-After": f"{retry_after_s:.0f}"}
        return self.failing(429, headers=headers, retry_after=retry_after_s, **{"global": False})

    @contextmanager
    def silent(self, *, hangs: bool = False) -> Iterator[None]:
        """Take messages without confirming them while the block runs: answer 503, or never."""
        self.is_silent, self.hangs = True, hangs
        try:
            yield
        finally:
            self.is_silent = False

    # -- messages --

    def add_message(self, channel: str, author: Json, text: str, **more: Any) -> Json:
        """Add a message to a channel, without telling the bot."""
        message = {
            "id": self.snowflake(),
            "channel_id": channel,
            "author": author,
            "content": text,
            "timestamp": _now(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "pinned": False,
            "type": 0,
            "components": [],
            **more,
        }
        self.messages[channel].append(message)
        self.channels[channel]["last_message_id"] = message["id"]
        return message

    def once(self, nonce: str | None, make: Callable[[], Json]) -> tuple[Json, bool]:
        """Return the message with an enforced nonce, and True if it is new."""
        if nonce is not None and nonce in self._nonces:
            return self._nonces[nonce], False
        message = make()
        if nonce is not None:
            self._nonces[nonce] = message
        return message, True

    def forget_nonces(self) -> None:
        """Forget the nonces, as Discord does after minutes."""
        self._nonces.clear()

    def attach(self, channel: str, name: str, data: bytes | int) -> Json:
        """Store a file, and return its attachment."""
        size = data if isinstance(data, int) else len(data)
        id_ = self.snowflake()
        self.files[id_] = data
        url = f"http://{self.address}/attachments/{channel}/{id_}/{name.replace(' ', '_')}"
        return {"id": id_, "filename": name, "size": size, "url": url, "proxy_url": url}


def _now() -> str:
    return SystemClock().now().isoformat()
