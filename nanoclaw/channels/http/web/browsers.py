"""The cookie of a browser, and the user that it stands for."""

from collections.abc import Awaitable
from typing import TypeVar

import structlog
from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.web.logins import SESSION_S, Login, Logins
from nanoclaw.channels.state import StateUnavailable

T = TypeVar("T")
_log = structlog.get_logger()
PATH = "/chat"
"""The cookie goes with requests below it alone."""


@frozen
class Browsers:
    """Finds the user of a request, and logs browsers in and out."""

    logins: Logins

    async def log_in(self, request: Request, token: str) -> Response:
        """Use up a link, and set the cookie of a new session.

        Raises:
            ApiError: the link does not work, or the host cannot say now.
        """
        session = await _asking(self.logins.redeem(token, request.headers.get("user-agent", "")))
        if session is None:
            _log.warning("web.bad_link")
            raise ApiError(
                403,
                "This link was used already, or is older than 10 minutes. Run `nanoclaw web` for a new one.",
                code="bad_link",
            )
        login = await _asking(self.logins.login(session))
        _log.info("web.logged_in", user=login.person.user_id if login else None)
        response = Response(b"{}", media_type="application/json")
        response.set_cookie(
            cookie_name(request),
            session,
            max_age=int(SESSION_S),
            path=PATH,
            secure=_is_secure(request),
            httponly=True,
            samesite="strict",
        )
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session of a browser."""
        session = request.cookies.get(cookie_name(request))
        if session is not None:
            await _asking(self.logins.end(session))
        response = Response(b"{}", media_type="application/json")
        response.delete_cookie(cookie_name(request), path=PATH, httponly=True, samesite="strict")
        return response

    async def login(self, request: Request) -> Login:
        """Return the login of a request.

        Raises:
            ApiError: the browser is not logged in, or the host cannot say now.
        """
        session = request.cookies.get(cookie_name(request))
        login = None if session is None else await _asking(self.logins.login(session))
        if login is None:
            raise ApiError(401, "This browser is not logged in.", code="not_logged_in")
        return login


def cookie_name(request: Request) -> str:
    """Return the name of the cookie. Browsers share cookies among ports, so it has the port."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"nanoclaw_{port}" if port.isascii() and port.isdigit() else "nanoclaw"


def _is_secure(request: Request) -> bool:
    """Return True if the page was loaded over TLS, which a proxy may have ended."""
    return request.headers.get("origin", "").startswith("https:")


async def _asking(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except StateUnavailable as error:
        raise ApiError(503, f"The login cannot be checked now: {error}", retry_after_s=5) from error
