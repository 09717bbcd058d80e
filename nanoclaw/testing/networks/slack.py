"""A Slack on loopback: the Web API and socket mode, as far as their documentation describes what a bot uses.

    async with open_fake_slack() as slack:
        ...  # connect the bot to slack.api_base with slack.bot_token and slack.app_token
        ts = await slack.say("C1", "U1", "hello")      # returns once the bot has confirmed the event
        slack.texts("C1")                              # what people see there

Events that the bot does not confirm are sent again, also over its next socket. It needs starlette and
hypercorn. It was written from Slack's documentation, not from its behaviour.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from typing import Any, Literal

import trio
from attrs import Factory, define
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

BOT_USER, BOT_ID = "U0BOT", "B0BOT"
REDELIVER_S = 3.0
"""Seconds after which an event that is not confirmed is sent again."""
FIRST_TS = 1_700_000_000

Json = dict[str, Any]


@define(eq=False)
class Envelope:
    """An event on its way to the bot."""

    id: str
    type: str
    payload: Json
    confirmed: trio.Event = Factory(trio.Event)
    sent: int = 0
    """How often it was sent."""


@define(eq=False)
class FakeSlack:
    """A workspace with channels, people and one app."""

    bot_token: str = "xoxb-fake"  # noqa: S105 -- there is nothing behind it
    app_token: str = "xapp-fake"  # noqa: S105 -- likewise
    address: str = ""
    names: dict[str, str] = Factory(dict)
    """The names of users and channels, by their ids. One without a name has its id."""
    messages: dict[str, list[Json]] = Factory(dict)
    """The messages of each channel, oldest first."""
    files: dict[str, bytes] = Factory(dict)
    """The content of files, by their ids."""
    large: dict[str, int] = Factory(dict)
    """The sizes of files, by their ids, that are made as they are sent."""
    discards: bool = False
    """True while the content of the bot's files is thrown away."""
    calls: list[tuple[str, Json]] = Factory(list)
    """The calls of the Web API: method and arguments."""
    ephemeral: list[Json] = Factory(list)
    """What was shown to one user alone."""
    sockets: list[WebSocket] = Factory(list)
    connected: trio.Event = Factory(trio.Event)
    down: bool = False
    """True while the Web API answers nothing but 503."""
    answers_with: Callable[[str, Json], Response | None] = lambda _method, _arguments: None
    """Answers a call in the place of Slack, if it returns something."""
    silent: Literal["", "hangs", "breaks"] = ""
    """Calls that change something have their effect, and then never end, or end with status 500."""
    redeliver_s: float = REDELIVER_S
    pending: dict[str, Envelope] = Factory(dict)
    confirmed: int = 0
    """How many events the bot has confirmed."""
    refused: int = 0
    """How many calls came while it was down."""
    changed: trio.Event = Factory(trio.Event)
    """Set, and replaced by another one, when the bot has confirmed or changed something."""
    _numbers: Iterator[int] = Factory(lambda: count(1))
    _uploads: dict[str, Json] = Factory(dict)

    @property
    def api_base(self) -> str:
        """The address of the Web API."""
        return f"{self.address}/api"

    # -- what people do

    async def say(
        self,
        channel: str,
        user: str,
        text: str,
        *,
        thread: str | None = None,
        files: Sequence[tuple[str, bytes]] = (),
    ) -> str:
        """Write a message as a person. Returns its `ts` once the bot has confirmed it."""
        message = self.post(channel, user, text, thread=thread, files=files)
        await self.tell(self.event(channel, message))
        return str(message["ts"])

    def post(
        self,
        channel: str,
        user: str,
        text: str,
        *,
        thread: str | None = None,
        files: Sequence[tuple[str, bytes]] = (),
    ) -> Json:
        """Write a message as a person, without an event."""
        message: Json = {"type": "message", "user": user, "text": escaped(text), "ts": self.ts()}
        if thread:
            message["thread_ts"] = thread
        if files:
            message["files"] = [self._kept(name, data) for name, data in files]
            message["subtype"] = "file_share"
        self.messages.setdefault(channel, []).append(message)
        return message

    async def say_large(self, channel: str, user: str, name: str, size: int) -> str:
        """Write a message with a file of that many bytes, which are made as they are sent."""
        message = self.post(channel, user, "", files=[(name, b"")])
        [file] = message["files"]
        file["size"] = self.large[file["id"]] = size
        await self.tell(self.event(channel, message))
        return str(message["ts"])

    async def edit(self, channel: str, ts: str, text: str) -> None:
        """Change the text of a person's message."""
        message = self.find(channel, ts)
        before = dict(message)
        message["text"] = escaped(text)
        message["edited"] = {"user": message["user"], "ts": self.ts()}
        changed = {"subtype": "message_changed", "message": dict(message), "previous_message": before}
        await self.tell({"type": "message", "channel": channel, "ts": self.ts(), **changed})

    async def delete(self, channel: str, ts: str) -> None:
        """Delete a message."""
        message = self.find(channel, ts)
        self.messages[channel].remove(message)
        gone = {"subtype": "message_deleted", "deleted_ts": ts, "previous_message": message}
        await self.tell({"type": "message", "channel": channel, "ts": self.ts(), **gone})

    async def react(self, channel: str, ts: str, user: str, name: str) -> None:
        """React to a message."""
        item = {"type": "message", "channel": channel, "ts": ts}
        author = self.find(channel, ts).get("user")
        told = {"user": user, "reaction": name, "item": item, "item_user": author, "event_ts": self.ts()}
        await self.tell({"type": "reaction_added", **told})

    async def rename(self, channel: str, name: str) -> None:
        """Rename a channel."""
        self.names[channel] = name
        told = {"channel": {"id": channel, "name": name, "created": FIRST_TS}, "event_ts": self.ts()}
        await self.tell({"type": "channel_rename", **told})

    async def join(self, channel: str, user: str, *, leaves: bool = False) -> None:
        """Have a user join a channel, or leave it."""
        kind = "member_left_channel" if leaves else "member_joined_channel"
        await self.tell({"type": kind, "channel": channel, "user": user, "event_ts": self.ts()})

    async def press(self, channel: str, user: str, label: str) -> None:
        """Press the button with that label on the newest card."""
        message = next(each for each in reversed(self.messages[channel]) if each.get("blocks"))
        rows = (block["elements"] for block in message["blocks"] if block["type"] == "actions")
        button = next(each for row in rows for each in row if each["text"]["text"] == label)
        place = {"type": "message", "message_ts": message["ts"], "channel_id": channel}
        action = {
            "type": "button",
            "action_id": button["action_id"],
            "value": button["value"],
            "action_ts": self.ts(),
        }
        payload = {"type": "block_actions", "user": {"id": user}, "container": place, "message": message}
        await self.send("interactive", {**payload, "actions": [action], "channel": {"id": channel}})

    async def confirmed_at_least(self, n: int) -> None:
        """Wait until the bot has confirmed that many events."""
        while self.confirmed < n:
            await self.changed.wait()

    async def refused_calls(self, n: int) -> None:
        """Wait until that many more calls were refused because Slack is down."""
        wanted = self.refused + n
        while self.refused < wanted:
            await self.changed.wait()

    def note_change(self) -> None:
        """Wake those who wait for a change."""
        self.changed.set()
        self.changed = trio.Event()

    # -- what people see

    def texts(self, channel: str, thread: str | None = None) -> Sequence[str]:
        """Return the texts of the bot's messages in a channel, or in one of its threads."""
        return [unescaped(each["text"]) for each in self.of_bot(channel, thread) if each["text"]]

    def of_bot(self, channel: str, thread: str | None = None) -> Sequence[Json]:
        """Return the bot's messages."""
        found = self.messages.get(channel, [])
        return [each for each in found if each.get("user") == BOT_USER and each.get("thread_ts") == thread]

    def shared(self, channel: str) -> Sequence[tuple[str, bytes]]:
        """Return the files that the bot has shown in a channel."""
        shown = [file for each in self.of_bot(channel) for file in each.get("files", ())]
        return [(file["name"], self.files[file["id"]]) for file in shown]

    def find(self, channel: str, ts: str) -> Json:
        """Return a message. Raises KeyError."""
        found = next((each for each in self.messages.get(channel, ()) if each["ts"] == ts), None)
        if found is None:
            raise KeyError(ts)
        return found

    # -- events

    def event(self, channel: str, message: Json) -> Json:
        """Return the event of a message."""
        kind = "im" if channel.startswith("D") else "channel"
        return {**message, "channel": channel, "channel_type": kind, "event_ts": message["ts"]}

    async def tell(self, event: Json) -> None:
        """Send an event of the Events API. Returns once it is confirmed."""
        payload = {"type": "event_callback", "event_id": f"Ev{next(self._numbers)}", "event": event}
        await self.send("events_api", payload)

    async def send(self, type_: str, payload: Json) -> None:
        """Send an envelope, again and again until it is confirmed."""
        envelope = Envelope(f"envelope-{next(self._numbers)}", type_, payload)
        self.pending[envelope.id] = envelope
        while not envelope.confirmed.is_set():
            await self._deliver(envelope)
            with trio.move_on_after(self.redeliver_s):
                await envelope.confirmed.wait()
        self.pending.pop(envelope.id, None)
        self.confirmed += 1
        self.note_change()

    async def _deliver(self, envelope: Envelope) -> None:
        if not self.sockets or self.down:
            return
        envelope.sent += 1
        message = {
            "type": envelope.type,
            "envelope_id": envelope.id,
            "payload": envelope.payload,
            "accepts_response_payload": False,
            "retry_attempt": envelope.sent - 1,
        }
        try:
            await self.sockets[-1].send_text(json.dumps(message))
        except Exception:  # noqa: BLE001 -- a socket that is closing; it is sent again
            return

    async def drop_sockets(self, code: int = 1011) -> None:
        """Close all sockets."""
        for socket in list(self.sockets):
            await socket.close(code)

    async def ask_to_reconnect(self) -> None:
        """Ask the bot to open another socket, as Slack does from time to time."""
        await self.sockets[-1].send_text(json.dumps({"type": "disconnect", "reason": "refresh_requested"}))

    @contextmanager
    def offline(self) -> Iterator[None]:
        """Be down while the block runs."""
        self.down = True
        try:
            yield
        finally:
            self.down = False

    # -- the servers

    async def api(self, request: Request) -> Response:
        """Answer a call of the Web API."""
        method, arguments = request.path_params["method"], await _arguments(request)
        self.calls.append((method, arguments))
        if self.down:
            self.refused += 1
            self.note_change()
            return PlainTextResponse("down", 503)
        instead = self.answers_with(method, arguments)
        if instead is not None:
            return instead
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token != (self.app_token if method == "apps.connections.open" else self.bot_token):
            return _error("invalid_auth")
        answer = self.answer(method, arguments)
        self.note_change()
        if self.silent and method.startswith(("chat.", "files.complete", "reactions.")):
            if self.silent == "breaks":
                return PlainTextResponse("broken", 500)
            await trio.sleep_forever()
        return answer

    def answer(self, method: str, arguments: Json) -> Response:  # noqa: PLR0911 -- one line a method
        """Do what a call asks for."""
        match method:
            case "apps.connections.open":
                return _ok(url=f"{self.address.replace('http', 'ws', 1)}/link/?ticket=x&app_id=A1")
            case "auth.test":
                return _ok(
                    url="https://example.slack.com/",
                    team="Example",
                    user="bot",
                    user_id=BOT_USER,
                    bot_id=BOT_ID,
                )
            case "chat.postMessage":
                return self._post(arguments)
            case "chat.update" | "chat.delete":
                return self._change(method, arguments)
            case "chat.postEphemeral":
                self.ephemeral.append(arguments)
                return _ok(message_ts=self.ts())
            case "reactions.add":
                return self._reaction(arguments)
            case "conversations.open":
                return _ok(channel={"id": f"D{arguments['users']}"})
            case "conversations.history" | "conversations.replies":
                return self._history(method, arguments)
            case _:
                return self._about(method, arguments)

    def _about(self, method: str, arguments: Json) -> Response:
        """Answer what is about people, channels and files."""
        match method:
            case "users.info":
                id_ = arguments["user"]
                return _ok(user={"id": id_, "profile": {"display_name": self.names.get(id_, id_)}})
            case "bots.info":
                return _ok(bot={"id": arguments["bot"], "name": self.names.get(arguments["bot"], "bot")})
            case "conversations.info":
                id_ = arguments["channel"]
                return _ok(channel={"id": id_, "name": self.names.get(id_, id_)})
            case "files.getUploadURLExternal":
                id_ = f"F{next(self._numbers)}"
                self._uploads[id_] = {
                    "id": id_,
                    "name": arguments["filename"],
                    "length": int(arguments["length"]),
                }
                return _ok(upload_url=f"{self.address}/upload/{id_}", file_id=id_)
            case "files.completeUploadExternal":
                return self._complete(arguments)
            case _:
                return _error("unknown_method")

    def _post(self, arguments: Json) -> Response:
        text = arguments.get("text", "")
        if not text and not arguments.get("blocks"):
            return _error("no_text")
        if len(text) > 40_000:  # noqa: PLR2004 -- Slack's limit
            return _error("msg_too_long")
        kept = {key: arguments[key] for key in ("blocks", "metadata", "thread_ts") if arguments.get(key)}
        message: Json = {
            "type": "message",
            "user": BOT_USER,
            "bot_id": BOT_ID,
            "text": text,
            "ts": self.ts(),
            **kept,
        }
        self.messages.setdefault(arguments["channel"], []).append(message)
        return _ok(channel=arguments["channel"], ts=message["ts"], message=message)

    def _change(self, method: str, arguments: Json) -> Response:
        channel = arguments["channel"]
        try:
            message = self.find(channel, arguments["ts"])
        except KeyError:
            return _error("message_not_found")
        if message.get("user") != BOT_USER:
            return _error("cant_update_message")
        if method == "chat.delete":
            self.messages[channel].remove(message)
            return _ok(channel=channel, ts=arguments["ts"])
        message.update({key: arguments[key] for key in ("text", "blocks", "metadata") if key in arguments})
        return _ok(channel=channel, ts=arguments["ts"], text=message["text"])

    def _reaction(self, arguments: Json) -> Response:
        try:
            message = self.find(arguments["channel"], arguments["timestamp"])
        except KeyError:
            return _error("message_not_found")
        shown = message.setdefault("reactions", [])
        if arguments["name"] in shown:
            return _error("already_reacted")
        shown.append(arguments["name"])
        return _ok()

    def _history(self, method: str, arguments: Json) -> Response:
        """Return a page of messages: newest first in a channel, oldest first in a thread, as Slack does."""
        found = self.messages.get(arguments["channel"], [])
        if method == "conversations.replies":
            ts = arguments["ts"]
            page = [each for each in found if ts in {each["ts"], each.get("thread_ts")}]
            return _ok(messages=page[: int(arguments["limit"])], has_more=False)
        oldest, start = arguments.get("oldest", ""), int(arguments.get("cursor") or 0)
        limit = int(arguments["limit"])
        own = [each for each in found if each["ts"] > oldest and not each.get("thread_ts")][::-1]
        more = {"next_cursor": str(start + limit)} if len(own) > start + limit else {"next_cursor": ""}
        return _ok(messages=own[start : start + limit], response_metadata=more)

    def _complete(self, arguments: Json) -> Response:
        for each in arguments["files"]:
            if each["id"] not in self.files:
                return _error("file_not_found")
        shown = [{**self._uploads[each["id"]], "title": each["title"]} for each in arguments["files"]]
        thread = {"thread_ts": arguments["thread_ts"]} if arguments.get("thread_ts") else {}
        own = {
            "type": "message",
            "user": BOT_USER,
            "bot_id": BOT_ID,
            "text": "",
            "ts": self.ts(),
            "files": shown,
        }
        self.messages.setdefault(arguments["channel_id"], []).append({**own, **thread})
        return _ok(files=shown)

    async def upload(self, request: Request) -> Response:
        """Take the content of a file."""
        id_ = request.path_params["id"]
        kept, size = list[bytes](), 0
        async for chunk in request.stream():
            size += len(chunk)
            kept += [] if self.discards else [chunk]
        if id_ not in self._uploads or size != self._uploads[id_]["length"]:
            return PlainTextResponse("wrong length", 400)
        self.files[id_] = b"".join(kept)
        return PlainTextResponse(f"OK - {size}")

    async def file(self, request: Request) -> Response:
        """Give the content of a file to the bot."""
        if request.headers.get("authorization") != f"Bearer {self.bot_token}":
            return PlainTextResponse("", 403)
        id_ = request.path_params["id"]
        if id_ in self.large:
            return StreamingResponse(_zeros(self.large[id_]), media_type="application/octet-stream")
        return Response(self.files[id_], media_type="application/octet-stream")

    async def link(self, socket: WebSocket) -> None:
        """Hold a socket of the bot."""
        await socket.accept()
        self.sockets.append(socket)
        await socket.send_text(json.dumps({"type": "hello", "num_connections": 1}))
        self.connected.set()
        for envelope in list(self.pending.values()):
            await self._deliver(envelope)
        try:
            while True:
                answer = json.loads(await socket.receive_text())
                if answer.get("envelope_id") in self.pending:
                    self.pending[answer["envelope_id"]].confirmed.set()
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self.sockets.remove(socket)

    # -- values

    def ts(self) -> str:
        """Return another `ts`, later than all before."""
        n = next(self._numbers)
        return f"{FIRST_TS + n}.{n:06d}"

    def _kept(self, name: str, data: bytes) -> Json:
        id_ = f"F{next(self._numbers)}"
        self.files[id_] = data
        url = f"{self.address}/files/{id_}"
        return {
            "id": id_,
            "name": name,
            "mimetype": "text/plain",
            "size": len(data),
            "url_private_download": url,
        }


@asynccontextmanager
async def open_fake_slack() -> AsyncIterator[FakeSlack]:
    """Run a workspace on a free port of loopback while the context is open."""
    slack = FakeSlack()
    app = Starlette(
        routes=[
            Route("/api/{method}", slack.api, methods=["GET", "POST"]),
            Route("/upload/{id}", slack.upload, methods=["POST"]),
            Route("/files/{id}", slack.file),
            WebSocketRoute("/link/", slack.link),
        ]
    )
    config = Config()
    config.bind, config.accesslog, config.errorlog, config.graceful_timeout = ["127.0.0.1:0"], None, None, 0.1
    async with trio.open_nursery() as nursery:
        [slack.address] = await nursery.start(partial(serve, app, config))  # type: ignore[arg-type] # hypercorn's own types of ASGI
        yield slack
        nursery.cancel_scope.cancel()


def escaped(text: str) -> str:
    """Return a text as Slack's events have it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescaped(text: str) -> str:
    """Return a text as people see it."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


async def _zeros(size: int) -> AsyncIterator[bytes]:
    for at in range(0, size, 1 << 16):
        yield bytes(min(1 << 16, size - at))


async def _arguments(request: Request) -> Json:
    if "json" in request.headers.get("content-type", ""):
        found: Json = await request.json()
        return found
    form = await request.form() if request.method == "POST" else {}
    return {**dict(request.query_params), **{key: str(value) for key, value in form.items()}}


def _ok(**more: object) -> Response:
    return JSONResponse({"ok": True, **more})


def _error(code: str) -> Response:
    return JSONResponse({"ok": False, "error": code})


def rate_limited(retry_after_s: int) -> Response:
    """Return Slack's answer to too many calls, for `FakeSlack.answers_with`."""
    return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(retry_after_s)})


__all__ = ["BOT_ID", "BOT_USER", "Envelope", "FakeSlack", "open_fake_slack", "rate_limited"]
