"""The application of the server, and what its parts share.

A part of the server, such as the web chat, is a function that returns Starlette routes:

    def web_routes(server: HttpServer) -> Sequence[BaseRoute]:
        return [Mount("/", routes=[Route("/", partial(page, server))])]

It is named in `PARTS`. It uses

- `server.rooms`: posting to chats and following them (`rooms.py`);
- `server.keys`, `server.state`: keys of users, and the state of the channel, for sessions of its own;
- `server.person(request)`: the user of an API key, or an `ApiError`, which becomes the answer;
- `server.check_chat(person, chat)`: refuses a chat that is not the user's;
- `server.files`: uploads and downloads;
- `server.agents`: the agents that a user may talk to, and the wiring of a direct chat;
- `server.closing`: set when the server stops. An answer that waits must end then.

The chat `ann` is the direct chat of the user `ann`, and `ann/coder` their direct chat with the agent in the
folder `coder`. Other chats are shared, and `[channels.http.chats]` names them.
"""

from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from random import Random
from typing import Any

import trio
from attrs import Factory, define
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute

from nanoclaw.channels.agents import Agents
from nanoclaw.channels.http.config import HttpConfig
from nanoclaw.channels.http.errors import ApiError, failed, not_found, refused
from nanoclaw.channels.http.files import Files
from nanoclaw.channels.http.guard import App, Guard, hosts_of
from nanoclaw.channels.http.keys import Keys
from nanoclaw.channels.http.rates import Rates
from nanoclaw.channels.http.rooms import Person, Rooms
from nanoclaw.channels.state import ChannelState, StateUnavailable
from nanoclaw.system.clock import Clock

BEARER = "bearer "
ENVELOPE = 1 << 20
"""Bytes that a request may have besides its files."""
PARTS = (
    "nanoclaw.channels.http.messages_api:message_routes",
    "nanoclaw.channels.http.webhooks_api:webhook_routes",
    "nanoclaw.channels.http.completions_api:completion_routes",
    "nanoclaw.channels.http.web:web_routes",
)
"""The functions that return the routes of the server. They are imported when the server starts."""


@define(eq=False)
class HttpServer:
    """The values that the parts of the server share."""

    config: HttpConfig
    rooms: Rooms
    files: Files
    keys: Keys
    state: ChannelState
    agents: Agents
    clock: Clock
    random: Random
    rates: Rates
    closing: trio.Event = Factory(trio.Event)
    """Set when the server stops."""

    async def person(self, request: Request) -> Person:
        """Return the user whose key a request has, unless they send too many requests.

        Raises:
            ApiError: there is no valid key, or too many requests.
        """
        header = request.headers.get("authorization", "")
        if not header.lower().startswith(BEARER):
            raise ApiError(
                401,
                "a key is missing: send the header `Authorization: Bearer nck_…`; "
                "`nanoclaw http-keys add` makes one",
                code="missing_api_key",
            )
        try:
            person = await self.keys.person(header[len(BEARER) :].strip())
        except StateUnavailable as error:
            raise ApiError(503, f"the key cannot be checked now: {error}", retry_after_s=5) from error
        if person is None:
            raise ApiError(401, "the key is unknown or was revoked", code="invalid_api_key")
        wait_s = self.rates.take(person.user)
        if wait_s > 0:
            raise ApiError(429, "too many requests: wait and try again", retry_after_s=wait_s)
        return person

    async def has_key(self, request: Request) -> bool:
        """Return False if the key of a request that passed before was revoked since."""
        header = request.headers.get("authorization", "")
        try:
            return await self.keys.person(header[len(BEARER) :].strip()) is not None
        except StateUnavailable:
            return True  # it cannot be checked now

    def check_chat(self, person: Person, chat: str) -> str:
        """Return the chat if the user may use it.

        Raises:
            ApiError: they may not, or there is no such chat.
        """
        shared = self.config.chats.get(chat)
        if (
            chat == person.user
            or chat.startswith(f"{person.user}/")
            or (shared and person.user in shared.users)
        ):
            return chat
        raise ApiError(
            404,
            f"there is no chat {chat[:100]!r} for {person.user}: leave `chat` out for your own",
            code="no_such_chat",
            param="chat",
        )


def application(server: HttpServer, parts: Collection[str] = PARTS) -> App:
    """Return the ASGI application with all parts of the server."""
    routes = [route for part in parts for route in _routes(part)(server)]
    handlers: dict[Any, Any] = {ApiError: refused, HTTPException: not_found, Exception: failed}
    app = Starlette(routes=routes, exception_handlers=handlers)
    host, _ = server.config.place
    return Guard(app, hosts_of(host, server.config.hosts), server.config.largest_upload + ENVELOPE)


def _routes(part: str) -> Callable[[HttpServer], Sequence[BaseRoute]]:
    module, _, name = part.partition(":")
    found: Callable[[HttpServer], Sequence[BaseRoute]] = getattr(import_module(module), name)
    return found
