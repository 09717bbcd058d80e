"""The noun `web`: links that log a browser in to the web chat, and the browsers that are logged in."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from attrs import frozen

from nanoclaw.channels.http.web import logins
from nanoclaw.channels.http.web.logins import Login
from nanoclaw.operations.declaration import Text, operation
from nanoclaw.operations.errors import BadArguments, Unavailable
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import LOCAL_USER, Right
from nanoclaw.records import User
from nanoclaw.registry import CreateUser, LinkUsers
from nanoclaw.registry.chat_state import DeleteValue, SetValue
from nanoclaw.store import Conflict, Connection, NotFound
from nanoclaw.store.central import agent_groups, chat_state, members, people, users
from nanoclaw.store.central.chat_state import Stored

OWNER = "owner"
"""The name of the owner in the web chat."""
PREFIX = "http"
SHOWN = 12
"""Characters of a digest that name a browser."""
BROWSERS = ("id", "user", "browser", "since", "until")
MISSING = (
    "the web chat is not running: add the line `[channels.http]` to config.toml, and say "
    "`nanoclaw channels start http`; it then listens on 127.0.0.1:8080, or on what `listen` says"
)


@frozen
class WebLink:
    """A link that logs one browser in."""

    url: str
    user: str
    """The id of the user that the browser then is."""
    until: datetime
    """The date after which it no longer works."""


@frozen
class Browser:
    """A browser that is logged in."""

    id: str
    user: str
    browser: str
    """The browser's own description of itself."""
    since: datetime
    until: datetime | None
    channel: str


@frozen
class Web(Noun):
    """The web chat: links to log in, and the browsers that are logged in."""

    name = "web"
    summary = "log a browser in to the web chat; list and log out browsers"
    alone = "login"

    @operation(right=Right.OWNER)
    async def login(
        self,
        *,
        user: Annotated[str, Text(64)] = OWNER,
        channel: Annotated[str | None, Text(200)] = None,
    ) -> WebLink:
        """Print a link that opens the web chat and logs the browser in. It works once, for 10 minutes.

        Args:
            user: the name of another user, who then is `http:NAME` under the usual rules of access.
            channel: the name of the channel, if several of them have a web chat.
        """
        if not self._ground.sessions.alive:
            raise Unavailable(
                "no host is running, so the link would lead nowhere: start `nanoclaw run` first"
            )
        type_, address = await self._address(channel)
        id_ = f"{PREFIX}:{_name(user)}"
        shown = await (self._owner(id_) if user == OWNER else self._other(id_, user))
        token, until = (
            logins.new_token(self._ground.random),
            self._ground.now() + timedelta(seconds=logins.LINK_S),
        )
        stored = logins.stored_as(logins.LINK, token)
        await self._registry.ask(SetValue(type_, stored, logins.link_value(user, shown), logins.LINK_S))
        return WebLink(f"{address}#login={token}", id_, until)

    @operation(right=Right.OWNER, reads=True, columns=BROWSERS)
    async def list(self) -> Sequence[Browser]:
        """List the browsers that are logged in, the oldest login first."""
        return await self._central.run(_browsers, self._ground.now())

    @operation(right=Right.OWNER, asks="Log out browser {browser}?")
    async def revoke(self, browser: Annotated[str, Text(100)]) -> Browser:
        """Log a browser out. Its page notices within 15 seconds.

        Args:
            browser: its id, as `nanoclaw web list` shows it.
        """
        found = [each for each in await self.list() if each.id == browser]
        if not found:
            raise NotFound(f"there is no browser {browser!r:.100}; `nanoclaw web list` shows their ids")
        for key in await self._central.run(_keys, found[0].channel, browser, self._ground.now()):
            await self._registry.ask(DeleteValue(found[0].channel, key))
        return found[0]

    # -- parts

    async def _address(self, channel: str | None) -> tuple[str, str]:
        """Return the name and the address of the channel.

        Raises:
            Unavailable: there is none.
            BadArguments: there are several.
        """
        found = {
            each.channel_type: each.value
            for each in await self._central.run(chat_state.named, logins.ADDRESS, self._ground.now())
        }
        if not found or (channel is not None and channel not in found):
            raise Unavailable(MISSING)
        if channel is None and len(found) > 1:
            raise BadArguments(f"several channels have a web chat: give --channel, one of {', '.join(found)}")
        type_ = channel or next(iter(found))
        return type_, found[type_]

    async def _owner(self, id_: str) -> str:
        """Make the owner's user in the web chat the same person as who is at the terminal."""
        who = self._caller.user_id or LOCAL_USER
        known = await self._central.run(users.get, who)
        if known is None:
            raise Unavailable(f"there is no user {who} yet: start the host once with `nanoclaw run`")
        if id_ not in await self._central.run(people.identities, who):
            await self._registry.ask(LinkUsers(who, id_, who, create_other=True))
        return known.display_name or OWNER

    async def _other(self, id_: str, name: str) -> str:
        known = await self._central.run(users.get, id_)
        if known is None:
            try:
                known = await self._registry.ask(CreateUser(id_, name))
            except Conflict:
                known = None  # they have just written
        if not await self._central.run(_is_heard, id_):
            self.note(f"no agent hears {id_} yet: `nanoclaw members add {id_} AGENT` lets them in")
        return _shown(known, name)


def _shown(user: User | None, name: str) -> str:
    return (user.display_name if user is not None else None) or name


def _name(user: str) -> str:
    if not user.replace("-", "").replace("_", "").replace(".", "").isalnum() or not user.isascii():
        raise BadArguments(f"user: must be letters, digits, `.`, `_` or `-`, got {user!r:.100}")
    return user


def _is_heard(connection: Connection, user_id: str) -> bool:
    return any(members.is_member(connection, user_id, each.id) for each in agent_groups.every(connection))


def _browsers(connection: Connection, now: datetime) -> list[Browser]:
    found = [_browser(each) for each in chat_state.beginning(connection, logins.SESSION, now)]
    return sorted(found, key=lambda each: each.since)


def _browser(stored: Stored) -> Browser:
    login = Login.loaded(stored.value)
    digest = stored.key.removeprefix(logins.SESSION)
    user = f"{PREFIX}:{login.user}"
    return Browser(digest[:SHOWN], user, login.browser, login.since, stored.expires_at, stored.channel_type)


def _keys(connection: Connection, channel: str, browser: str, now: datetime) -> list[str]:
    found = chat_state.beginning(connection, logins.SESSION + browser, now)
    return [each.key for each in found if each.channel_type == channel]
