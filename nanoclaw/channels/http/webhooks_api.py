"""The endpoint for webhooks: programs report events to the agents of a chat."""

from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nanoclaw.channels.http.answers import json_answer
from nanoclaw.channels.http.application import HttpServer
from nanoclaw.channels.http.config import WebhookConfig
from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.reading import body_of
from nanoclaw.channels.http.webhooks import Received, read_webhook
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.secrets import Secret
from nanoclaw.records import BadEvent, NotAccepted, Webhook
from nanoclaw.system.ids import new_id

LARGEST = 2 << 20
"""Limit of the body of a webhook in bytes. The payload has a lower limit in characters."""


def webhook_routes(server: HttpServer) -> Sequence[BaseRoute]:
    """Return the route of webhooks."""
    return [Route("/v1/webhooks/{name}", partial(post_webhook, server), methods=["POST"])]


async def post_webhook(server: HttpServer, request: Request) -> Response:
    """Give an event to the agents of the webhook's chat. The answer comes once it is on disk."""
    name = request.path_params["name"]
    config = server.config.webhooks.get(name)
    if config is None:
        raise ApiError(404, "there is no such webhook: add a table [channels.http.webhooks.<name>]")
    wait_s = server.rates.take(f"webhook {name}")
    if wait_s > 0:
        raise ApiError(429, "too many events: wait and try again", retry_after_s=wait_s)
    found = await _read(server, config, request)
    await _offer(server, name, config, found)
    return json_answer({"status": "accepted"}, 202)


async def _read(server: HttpServer, config: WebhookConfig, request: Request) -> Received:
    try:
        secret = await Secret(config.secret).read()
    except ChannelUnavailable as error:
        raise ApiError(503, f"the secret of the webhook cannot be read: {error}", retry_after_s=60) from error
    body = await body_of(request, LARGEST)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return read_webhook(config.style, secret, headers, body, server.clock.now().timestamp())


async def _offer(server: HttpServer, name: str, config: WebhookConfig, found: Received) -> None:
    address = server.rooms.room(config.chat).address()
    id_ = new_id("hook", server.random) if found.id is None else f"hook {name} {found.id}"
    shared = config.chat in server.config.chats
    event = Webhook(address, id_, name, found.event, found.payload, is_group=shared)
    try:
        routed = await server.rooms.offer(event)
    except BadEvent as error:
        raise ApiError(422, str(error), code="bad_event") from error
    except NotAccepted as error:
        raise ApiError(503, f"the event is not stored: {error}; send it again", retry_after_s=5) from error
    if routed.dropped is not None:
        raise ApiError(409, f"no agent got the event: {routed.dropped}", code="dropped")
