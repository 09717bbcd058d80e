"""The web chat, mounted on the server of the channel."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from nanoclaw.channels.http.application import HttpServer


def web_routes(_server: HttpServer) -> Sequence[BaseRoute]:
    """Return the routes of the web chat."""
    return ()
