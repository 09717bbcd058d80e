"""The web chat of the channel `http`: a page in the browser, its API below `/chat/`, and logging in.

`nanoclaw web` prints a link that works once. The page redeems it for a cookie (`logins`). What the page shows
is made from the transcript (`shown`), with Markdown rendered to safe HTML (`markdown`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from nanoclaw.channels.http.application import HttpServer


def web_routes(server: "HttpServer") -> "Sequence[BaseRoute]":
    """Return the routes of the web chat."""
    from nanoclaw.channels.http.web.serving import WebChat  # noqa: PLC0415 -- commands import only the logins

    return WebChat.on(server).routes()
