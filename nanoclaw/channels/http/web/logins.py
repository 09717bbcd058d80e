"""Logging in: links that work once, and sessions of browsers. Only digests of their tokens are stored.

Both are values in the state of the channel. They expire there, so nothing here deletes them in time.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from hashlib import sha256
from random import Random
from typing import Any

import trio
from attrs import asdict, frozen

from nanoclaw.channels.http.rooms import Person
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.state import ChannelState, StateError, StateUnavailable

ADDRESS = "web:address"
"""The name of the value with the address of the page."""
LINK = "web:link:"
"""The beginning of the names of links."""
SESSION = "web:session:"
"""The beginning of the names of sessions."""
LINK_S = 600.0
"""Seconds for which a link works."""
SESSION_S = 30 * 86_400.0
"""Seconds for which a browser stays logged in."""
LONGEST_BROWSER = 200
_TOKEN_BYTES = 32
_LONGEST_TOKEN = 64


def address(host: str, port: int) -> str:
    """Return the address of the page for a browser on this machine."""
    own = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 -- compared, not bound
    return f"http://{f'[{own}]' if ':' in own and '[' not in own else own}:{port}/chat/"


@asynccontextmanager
async def announced(state: ChannelState, url: str) -> AsyncIterator[None]:
    """Keep the address of the page in the state while the context is open, for `nanoclaw web`.

    Raises:
        ChannelUnavailable: the host cannot store it now.
    """
    try:
        await state.set(ADDRESS, url)
    except StateUnavailable as error:
        raise ChannelUnavailable(str(error)) from error
    try:
        yield
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(1), suppress(StateError):
            await state.delete(ADDRESS)


def new_token(random: Random) -> str:
    """Return a token of 256 random bits."""
    return urlsafe_b64encode(random.randbytes(_TOKEN_BYTES)).rstrip(b"=").decode()


def stored_as(kind: str, token: str) -> str:
    """Return the name under which a token is stored. It cannot be guessed, so a plain digest hides it."""
    return kind + sha256(token.encode()).hexdigest()


@frozen
class Login:
    """A session of a browser, as it is stored."""

    user: str
    """The name of the user, without the prefix."""
    name: str
    """The name for agents and other people."""
    browser: str
    """The browser's own description of itself."""
    since: datetime

    @property
    def person(self) -> Person:
        """Return the user."""
        return Person(self.user, self.name)

    def dumped(self) -> str:
        """Return the value to store."""
        return json.dumps({**asdict(self), "since": self.since.isoformat()})

    @classmethod
    def loaded(cls, value: str) -> "Login":
        """Return what was stored."""
        stored = json.loads(value)
        return cls(stored["user"], stored["name"], stored["browser"], datetime.fromisoformat(stored["since"]))


def link_value(user: str, name: str) -> str:
    """Return the value to store for a new link."""
    return json.dumps({"user": user, "name": name})


@frozen
class Logins:
    """The links and sessions of one channel.

    Raises:
        StateUnavailable: the host cannot say now.
    """

    state: ChannelState
    now: Callable[[], datetime]
    random: Random

    async def redeem(self, token: str, browser: str) -> str | None:
        """Use up a link. Return the token of a new session; None if the link is unknown, used or too old."""
        if not 0 < len(token) <= _LONGEST_TOKEN:
            return None
        key = stored_as(LINK, token)
        value = await self.state.get(key)
        if value is None or not await self.state.compare_and_set(key, value, None):
            return None  # of two browsers that use it at once, one gets in
        link: dict[str, Any] = json.loads(value)
        login = Login(link["user"], link["name"], browser[:LONGEST_BROWSER], self.now())
        session = new_token(self.random)
        await self.state.set(stored_as(SESSION, session), login.dumped(), ttl_s=SESSION_S)
        return session

    async def login(self, session: str) -> Login | None:
        """Return the login of a session's token, or None if it is unknown, revoked or too old."""
        if not 0 < len(session) <= _LONGEST_TOKEN:
            return None
        value = await self.state.get(stored_as(SESSION, session))
        return None if value is None else Login.loaded(value)

    async def end(self, session: str) -> None:
        """Log a browser out."""
        await self.state.delete(stored_as(SESSION, session))
