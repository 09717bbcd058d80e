"""Serves the page and its parts. They are read once; the page may load nothing from elsewhere."""

from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy of the page: its own parts only, and no script or style inside of it."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",
}
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


def routes() -> list[Route]:
    """Return the routes of the page, below the place where the web chat is mounted."""
    return [
        Route("/", _page, methods=["GET"]),
        Route("/static/{name}", _part, methods=["GET"]),
    ]


async def to_the_page(_request: Request) -> Response:
    """Lead from the root of the server to the page."""
    return RedirectResponse("chat/", headers={"cache-control": "no-cache"})


async def _page(_request: Request) -> Response:
    return _response("index.html")


async def _part(request: Request) -> Response:
    name = request.path_params["name"]
    return _response(name) if name in _parts() else Response("there is no such part", 404)


def _response(name: str) -> Response:
    type_ = _TYPES[name[name.rindex(".") :]]
    return Response(_parts()[name], media_type=type_, headers=HEADERS)


@cache
def _parts() -> dict[str, bytes]:
    folder = files("nanoclaw.channels.http.web").joinpath("static")
    return {
        each.name: each.read_bytes()
        for each in folder.iterdir()
        if each.is_file() and each.name[each.name.rfind(".") :] in _TYPES
    }
