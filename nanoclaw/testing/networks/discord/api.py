"""The HTTP API of the fake Discord: the calls that bots make, with Discord's errors and rate limits."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import trio
from attrs import Factory, define, frozen

from nanoclaw.testing.networks.discord.network import (
    APPLICATION,
    BOT,
    LATER,
    MESSAGE,
    ONLY_FOR_USER,
    TEXT,
    FakeDiscord,
    Json,
)

LONGEST = 2_000
LARGEST = 10 << 20
MOST_BUTTONS, LONGEST_LABEL, LONGEST_ID = 25, 80, 100
READS_MESSAGES = 1 << 19


@frozen
class Refused(Exception):
    """An answer that is an error."""

    status: int
    body: Json
    headers: dict[str, str] = Factory(dict)


@frozen
class Answer:
    """An answer with JSON."""

    body: Any
    headers: dict[str, str] = Factory(dict)


@frozen
class Call:
    """One call, with the parts of its path."""

    parts: tuple[str, ...]
    query: Mapping[str, str]
    json: Any
    files: Sequence[tuple[str, bytes]]


def refused(status: int, code: int, text: str) -> Refused:
    """Return an error in Discord's form."""
    return Refused(status, {"code": code, "message": text})


@define(eq=False)
class Api:
    """The calls of bots."""

    discord: FakeDiscord

    async def call(  # noqa: PLR0913, PLR0917 -- the parts of a request
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        json: Any,
        files: Sequence[tuple[str, bytes]],
    ) -> Answer | None:
        """Answer one call. None is an answer without content. Raises Refused."""
        self.discord.calls.append((method, path))
        if self.discord.is_down:
            raise refused(503, 0, "Service Unavailable")
        if self.discord.fault is not None and (fault := self.discord.fault(method, path)) is not None:
            raise Refused(*fault)
        if (
            not path.startswith("interactions/")
            and headers.get("authorization") != f"Bot {self.discord.token}"
        ):
            raise refused(401, 0, "401: Unauthorized")
        for wanted, pattern, handler in _ROUTES:
            if method == wanted and (found := re.fullmatch(pattern, path)):
                return await handler(self, Call(tuple(map(unquote, found.groups())), query, json, files))
        raise refused(404, 0, "404: Not Found")

    async def me(self, call: Call) -> Answer:
        """GET /users/@me."""
        del call
        return Answer(self.discord.bot)

    async def application(self, call: Call) -> Answer:
        """GET /oauth2/applications/@me and /applications/@me."""
        del call
        flags = READS_MESSAGES if self.discord.may_read else 0
        return Answer(
            {"id": APPLICATION, "name": "nano", "flags": flags, "description": "", "verify_key": "0"}
        )

    async def open_dm(self, call: Call) -> Answer:
        """POST /users/@me/channels."""
        user = str(call.json["recipient_id"])
        if user not in self.discord.users:
            raise refused(400, 50033, "Invalid Recipient(s)")
        return Answer(self.discord.channels[self.discord.direct_chat(user, "")])

    async def channel(self, call: Call) -> Answer:
        """GET /channels/{id}."""
        return Answer(self._channel(call))

    def _channel(self, call: Call) -> Json:
        found = self.discord.channels.get(call.parts[0])
        if found is None:
            raise refused(404, 10003, "Unknown Channel")
        return found

    def _message(self, call: Call) -> Json:
        try:
            return self.discord.find(self._channel(call)["id"], call.parts[1])
        except LookupError as error:
            raise refused(404, 10008, "Unknown Message") from error

    async def server(self, call: Call) -> Answer:
        """GET /guilds/{id}."""
        return Answer(self.discord.guild(call.parts[0]))

    async def history(self, call: Call) -> Answer:
        """GET /channels/{id}/messages: newest first."""
        messages = self.discord.messages[self._channel(call)["id"]]
        limit = int(call.query.get("limit", 50))
        if "after" in call.query:
            later = [one for one in messages if int(one["id"]) > int(call.query["after"])]
            return Answer([_stored(one) for one in reversed(later[:limit])])
        return Answer([_stored(one) for one in reversed(messages[-limit:])])

    async def create(self, call: Call) -> Answer:
        """POST /channels/{id}/messages."""
        channel = self._channel(call)["id"]
        headers = self._count(channel)
        _check(call)
        nonce = call.json.get("nonce") if call.json.get("enforce_nonce") else None
        message, is_new = self.discord.once(nonce, lambda: self._made(channel, call))
        shown = message | ({"nonce": call.json["nonce"]} if "nonce" in call.json else {})
        if is_new:
            await self.discord.tell("MESSAGE_CREATE", channel, shown)
        if self.discord.is_silent:
            await self._say_nothing()
        return Answer(shown, headers)

    def _made(self, channel: str, call: Call) -> Json:
        files = [self.discord.attach(channel, *each) for each in call.files]
        more: Json = {"attachments": files, "components": call.json.get("components") or []}
        more["allowed_mentions"] = call.json.get("allowed_mentions")
        reference = call.json.get("message_reference")
        if reference and any(one["id"] == reference["message_id"] for one in self.discord.messages[channel]):
            more |= {"type": 19, "message_reference": reference}
        return self.discord.add_message(channel, self.discord.bot, call.json.get("content") or "", **more)

    def _count(self, channel: str) -> dict[str, str]:
        """Count a message, and return the headers of the limit. Raises Refused if there are too many."""
        if self.discord.bucket is None:
            return {}
        (limit, window), now = self.discord.bucket, trio.current_time()
        used = self.discord.used[channel] = [
            at for at in self.discord.used.get(channel, []) if at > now - window
        ]
        left = (used[0] + window - now) if used else window
        headers = {
            "Via": "1.1 google",
            "X-RateLimit-Bucket": "messages",
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(limit - len(used) - 1, 0)),
            "X-RateLimit-Reset": str(left),
            "X-RateLimit-Reset-After": f"{left:.3f}",
        }
        if len(used) >= limit:
            body = {"message": "You are being rate limited.", "retry_after": left, "global": False}
            raise Refused(429, body, headers | {"Retry-After": f"{left:.0f}"})
        used.append(now)
        return headers

    async def edit(self, call: Call) -> Answer:
        """PATCH /channels/{id}/messages/{id}."""
        message = self._mine(call)
        _check(call, is_edit=True)
        message |= {key: call.json[key] or [] for key in ("components",) if key in call.json}
        if "content" in call.json:
            message["content"] = call.json["content"] or ""
        if self.discord.is_silent:
            await self._say_nothing()
        return Answer(message)

    async def _say_nothing(self) -> None:
        if self.discord.hangs:
            await trio.sleep_forever()
        raise refused(503, 0, "Service Unavailable")

    async def delete(self, call: Call) -> None:
        """DELETE /channels/{id}/messages/{id}."""
        message = self._mine(call)
        self.discord.messages[call.parts[0]].remove(message)

    def _mine(self, call: Call) -> Json:
        message = self._message(call)
        if message["author"]["id"] != BOT:
            raise refused(403, 50005, "Cannot edit a message authored by another user")
        return message

    async def react(self, call: Call) -> None:
        """PUT /channels/{id}/messages/{id}/reactions/{emoji}/@me."""
        self._message(call)
        if call.parts[2].isascii():
            raise refused(400, 10014, "Unknown Emoji")
        self.discord.reactions.append((call.parts[1], call.parts[2]))

    async def type(self, call: Call) -> None:
        """POST /channels/{id}/typing."""
        self.discord.typing.append(self._channel(call)["id"])

    async def register(self, call: Call) -> Answer:
        """PUT /applications/{id}/commands."""
        self.discord.commands[:] = call.json
        return Answer(call.json)

    async def call_back(self, call: Call) -> None:
        """POST /interactions/{id}/{token}/callback."""
        pressed = self.discord.interactions.get(call.parts[1])
        if pressed is None or pressed.kind is not None:
            raise refused(404, 10062, "Unknown interaction")
        pressed.kind = call.json["type"]
        if pressed.kind == MESSAGE:
            self._show(pressed.channel, pressed.private, call.json["data"])
        pressed.answered.set()

    async def follow_up(self, call: Call) -> Answer:
        """POST /webhooks/{id}/{token}, and PATCH of /messages/@original."""
        pressed = self.discord.interactions.get(call.parts[1])
        if pressed is None or pressed.kind is None:
            raise refused(404, 10015, "Unknown Webhook")
        self._show(pressed.channel, pressed.private, call.json)
        return Answer({})

    def _show(self, channel: str, private: list[str], data: Json) -> None:
        if data.get("flags", 0) & ONLY_FOR_USER:
            private.append(data["content"])
        else:
            self.discord.add_message(channel, self.discord.bot, data["content"])


def _stored(message: Json) -> Json:
    """Return a message as the history has it: without the nonce."""
    return {key: value for key, value in message.items() if key != "nonce"}


def _check(call: Call, *, is_edit: bool = False) -> None:
    """Raise Refused for a message that Discord refuses."""
    content = call.json.get("content") or ""
    buttons = [one for row in call.json.get("components") or () for one in row["components"]]
    if len(content) > LONGEST:
        raise refused(400, 50035, "Invalid Form Body: content must be 2000 or fewer in length")
    if not content.strip() and not call.files and not is_edit:
        raise refused(400, 50006, "Cannot send an empty message")
    if len(call.json.get("nonce") or "") > 25:  # noqa: PLR2004 -- the documented limit
        raise refused(400, 50035, "Invalid Form Body: nonce")
    if any(len(one["label"]) > LONGEST_LABEL or len(one["custom_id"]) > LONGEST_ID for one in buttons):
        raise refused(400, 50035, "Invalid Form Body: components")
    if len(buttons) > MOST_BUTTONS or len({one["custom_id"] for one in buttons}) < len(buttons):
        raise refused(400, 50035, "Invalid Form Body: components")


Handler = Callable[[Api, Call], Awaitable[Answer | None]]
_ROUTES: Sequence[tuple[str, str, Handler]] = (
    ("GET", r"users/@me", Api.me),
    ("GET", r"(?:oauth2/)?applications/@me", Api.application),
    ("POST", r"users/@me/channels", Api.open_dm),
    ("GET", r"channels/(\d+)", Api.channel),
    ("GET", r"guilds/(\d+)", Api.server),
    ("GET", r"channels/(\d+)/messages", Api.history),
    ("POST", r"channels/(\d+)/messages", Api.create),
    ("PATCH", r"channels/(\d+)/messages/(\d+)", Api.edit),
    ("DELETE", r"channels/(\d+)/messages/(\d+)", Api.delete),
    ("PUT", r"channels/(\d+)/messages/(\d+)/reactions/([^/]+)/@me", Api.react),
    ("POST", r"channels/(\d+)/typing", Api.type),
    ("PUT", r"applications/(\d+)/commands", Api.register),
    ("POST", r"interactions/(\d+)/([\w-]+)/callback", Api.call_back),
    ("POST", r"webhooks/(\d+)/([\w-]+)", Api.follow_up),
    ("PATCH", r"webhooks/(\d+)/([\w-]+)/messages/@original", Api.follow_up),
)
__all__ = ["LATER", "TEXT", "Api", "Refused"]
