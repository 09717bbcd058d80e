"""The requests of the page: routes below `/chat/`, and who may make them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from attrs import frozen
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from nanoclaw.channels.http.application import HttpServer
from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.web import events, pages, requests, shown
from nanoclaw.channels.http.web.browsers import Browsers
from nanoclaw.channels.http.web.conversations import Conversation
from nanoclaw.channels.http.web.logins import Logins
from nanoclaw.channels.http.web.talking import SentKeys, Talk
from nanoclaw.channels.http.web.uploads import Uploads

Json = Mapping[str, Any]
FILE_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "cache-control": "private, max-age=86400",
}
"""Headers of a file of an agent. It is saved, or shown as a picture, and never opened as a page."""


@frozen
class WebChat:
    """The web chat of one server."""

    server: HttpServer
    browsers: Browsers
    uploads: Uploads
    sent: SentKeys

    @classmethod
    def on(cls, server: HttpServer) -> "WebChat":
        """Return the web chat of a server."""
        logins = Logins(server.state, server.clock.now, server.random)
        uploads = Uploads(server.files.uploads, server.config.largest_upload)
        return cls(server, Browsers(logins), uploads, SentKeys())

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        return [
            Route("/", pages.to_the_page, methods=["GET"]),
            Mount("/chat", routes=[*pages.routes(), *self._api()]),
        ]

    def _api(self) -> Sequence[BaseRoute]:
        changes = {
            "messages": Talk.send,
            "deletions": Talk.delete,
            "reactions": Talk.react,
            "clicks": Talk.press,
        }
        return [
            Route("/api/login", self._log_in, methods=["POST"]),
            Route("/api/logout", self._log_out, methods=["POST"]),
            Route("/api/state", self._state, methods=["GET"]),
            Route("/api/messages", self._history, methods=["GET"]),
            Route("/api/events", self._events, methods=["GET"]),
            Route("/api/uploads/{id}", self._upload, methods=["PUT"]),
            Route("/files/{id}", self._file, methods=["GET"]),
            *(
                Route(f"/api/{name}", self._changing(change), methods=["POST"])
                for name, change in changes.items()
            ),
        ]

    async def _talk(self, request: Request) -> Talk:
        login = await self.browsers.login(request)
        return Talk(self.server, self.uploads, self.sent, login.person)

    def _changing(
        self, change: Callable[[Talk, Json], Awaitable[Json]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            talk = await self._talk(request)
            self._count(talk)
            return JSONResponse(await change(talk, await requests.body(request)))

        return handle

    def _count(self, talk: Talk) -> None:
        """Raise ApiError if the user changes too much in too short a time."""
        wait_s = self.server.rates.take(talk.person.user)
        if wait_s > 0:
            raise ApiError(429, "Too many requests: wait a moment.", retry_after_s=wait_s)

    async def _log_in(self, request: Request) -> Response:
        return await self.browsers.log_in(request, requests.text(await requests.body(request), "token"))

    async def _log_out(self, request: Request) -> Response:
        requests.check_page(request)
        return await self.browsers.log_out(request)

    async def _state(self, request: Request) -> Response:
        return JSONResponse(await (await self._talk(request)).state())

    async def _history(self, request: Request) -> Response:
        talk = await self._talk(request)
        where = Conversation.named(talk.person.user, request.query_params.get("thread", "")[:200])
        return JSONResponse(await talk.history(where, requests.number(request, "before")))

    async def _upload(self, request: Request) -> Response:
        talk = await self._talk(request)
        requests.check_page(request)
        id_ = requests.name(request.path_params["id"], "id")
        upload = await self.uploads.take(request, talk.person.user, id_)
        return JSONResponse({"id": id_, "size": upload.size}, 201)

    async def _file(self, request: Request) -> Response:
        talk = await self._talk(request)
        found = await self.server.files.find(request.path_params["id"])
        if found is None or found[0].chat not in await talk.chats.names():
            raise ApiError(404, "This file is not here any more.", code="no_such_file")
        file, place = found
        type_ = shown.file_type(file.name)
        return FileResponse(place, media_type=type_, filename=file.name, headers=FILE_HEADERS)

    async def _events(self, request: Request) -> Response:
        talk = await self._talk(request)
        chats = await talk.chats.names()
        newest, after = await self.server.rooms.newest(chats), events.begin(request)
        following = self.server.rooms.follow(chats, newest if after is None else min(after, newest))
        is_reset = after is not None and after > newest
        stream = events.EventStream(talk, self.browsers, request, following, is_reset)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return _Stream(stream.lines(), headers)


class _Stream(StreamingResponse):
    """Server-sent events, whose generator ends with the request."""

    def __init__(self, lines: AsyncGenerator[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(lines, media_type="text/event-stream", headers=headers)
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        async with aclosing(self._lines):
            await super().__call__(scope, receive, send)
