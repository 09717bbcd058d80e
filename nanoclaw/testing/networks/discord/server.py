"""The server of the fake Discord: the HTTP API and the gateway, on a port of the loopback."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from nanoclaw.testing.networks.discord.api import LARGEST, Api, Refused, refused
from nanoclaw.testing.networks.discord.network import APPLICATION, CONTENT_INTENT, FakeDiscord
from nanoclaw.testing.networks.discord.sessions import (
    ACK,
    HEARTBEAT,
    HEARTBEAT_MS,
    HELLO,
    IDENTIFY,
    INVALID,
    RESUME,
    Link,
    Session,
)

CHUNK = 1 << 16
OVERHEAD = 64 << 10
"""Bytes of a request besides its files."""
METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]


@asynccontextmanager
async def open_fake_discord(token: str = "bot-token") -> AsyncIterator[FakeDiscord]:  # noqa: S107 -- a fake's
    """Serve a Discord until the block ends."""
    discord = FakeDiscord(token)
    app = Starlette(
        routes=[
            Route("/api/v10/{path:path}", partial(_api, Api(discord)), methods=METHODS),
            Route("/attachments/{channel}/{id}/{name}", partial(_file, discord)),
            WebSocketRoute("/gateway/", partial(_gateway, discord)),
        ]
    )
    config = Config()
    config.bind, config.accesslog, config.errorlog, config.graceful_timeout = ["127.0.0.1:0"], None, None, 0.1
    async with trio.open_nursery() as nursery:
        [bound] = await nursery.start(partial(serve, app, config))  # type: ignore[arg-type]  # hypercorn's own types of ASGI
        discord.address = bound.removeprefix("http://")
        yield discord
        nursery.cancel_scope.cancel()


async def _api(api: Api, request: Request) -> Response:
    try:
        fields, files = await _body(request)
        found = await api.call(
            request.method, request.path_params["path"], request.headers, request.query_params, fields, files
        )
    except Refused as refused:
        return JSONResponse(refused.body, refused.status, refused.headers)
    return Response(status_code=204) if found is None else JSONResponse(found.body, headers=found.headers)


async def _body(request: Request) -> tuple[Any, list[tuple[str, bytes]]]:
    """Return the JSON and the files of a request."""
    if "multipart" not in request.headers.get("content-type", ""):
        text = await request.body()
        return (json.loads(text) if text else {}), []
    if int(request.headers.get("content-length", 0)) > LARGEST + OVERHEAD:
        async for _chunk in request.stream():
            pass
        raise refused(413, 40005, "Request entity too large")
    async with request.form() as form:
        files = [(key, value) for key, value in form.items() if key.startswith("files[")]
        read = [(str(file.filename), await file.read()) for _, file in files if not isinstance(file, str)]
        return json.loads(str(form["payload_json"])), read


async def _file(discord: FakeDiscord, request: Request) -> Response:
    data = discord.files.get(request.path_params["id"])
    if isinstance(data, int):
        chunks = (bytes(min(CHUNK, data - start)) for start in range(0, data, CHUNK))
        return StreamingResponse(chunks, media_type="application/octet-stream")
    return (
        Response(data, media_type="application/octet-stream")
        if data is not None
        else Response(status_code=404)
    )


# -- the gateway -------------------------------------------------------------------


async def _gateway(discord: FakeDiscord, socket: WebSocket) -> None:
    if discord.is_down:
        await socket.close(1012)
        return
    await socket.accept()
    link = Link(socket, socket.query_params.get("compress") == "zlib-stream")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_close_when_asked, link, nursery.cancel_scope)
        await link.send(HELLO, {"heartbeat_interval": HEARTBEAT_MS})
        try:
            await _talk(discord, link)
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass
        finally:
            link.is_over = True
            for session in discord.sessions.found.values():
                if session.link is link:
                    session.link = None
        nursery.cancel_scope.cancel()


async def _close_when_asked(link: Link, scope: trio.CancelScope) -> None:
    await link.closing.wait()
    link.is_over = True
    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
        await link.socket.close(4000 if link.close_code in {None, 1006} else link.close_code or 4000)
    scope.cancel()


async def _talk(discord: FakeDiscord, link: Link) -> None:
    """Answer what a bot sends until its socket is closed."""
    while True:
        message = json.loads(await link.socket.receive_text())
        op, data = message["op"], message.get("d")
        if op == HEARTBEAT:
            await link.send(ACK)
        elif op == IDENTIFY:
            await _identified(discord, link, data)
        elif op == RESUME:
            await _resumed(discord, link, data)


async def _identified(discord: FakeDiscord, link: Link, data: Any) -> None:
    if data["token"] != discord.token:
        link.close(4004)
    elif data["intents"] & CONTENT_INTENT and not discord.may_read:
        link.close(4014)
    else:
        session = discord.sessions.begin(link)
        await session.dispatch("READY", _ready(discord, session))
        for guild in discord.guilds:
            await session.dispatch("GUILD_CREATE", discord.guild(guild))


async def _resumed(discord: FakeDiscord, link: Link, data: Any) -> None:
    session = discord.sessions.found.get(data["session_id"])
    if data["token"] != discord.token:
        link.close(4004)
    elif session is None or data["seq"] > len(session.events):
        await link.send(INVALID, data=False)
    else:
        discord.sessions.resumed += 1
        session.link = link
        await session.replay(data["seq"])
        await session.dispatch("RESUMED", {})


def _ready(discord: FakeDiscord, session: Session) -> dict[str, Any]:
    return {
        "v": 10,
        "user": discord.bot,
        "guilds": [{"id": guild, "unavailable": True} for guild in discord.guilds],
        "session_id": session.id,
        "resume_gateway_url": discord.gateway,
        "application": {"id": APPLICATION, "flags": 0},
    }
