"""The account's connection to its server: the calls of the channel, in trio and with the host's errors."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import structlog
import trio
from attrs import Factory, define, frozen

from nanoclaw.channels.asyncio_loop import AsyncioLoop, open_asyncio_loop
from nanoclaw.channels.extras import install_command
from nanoclaw.channels.matrix.credentials import Session, private_folder
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.config import ConfigError

if TYPE_CHECKING:
    from nanoclaw.channels.matrix.sdk import Client

T = TypeVar("T")

LONG_POLL_MS = 30_000
PAGE = 100
"""Events of a page of a room's history."""
FILTER: Mapping[str, Any] = {
    "presence": {"types": []},
    "account_data": {"types": ["m.direct"]},
    "room": {
        "timeline": {"limit": PAGE},
        "ephemeral": {"types": []},
        "account_data": {"types": []},
    },
}
API = "/_matrix/client/v3"
MISSING = f"the package matrix-nio is missing; install it with {install_command('matrix')}"
UNAUTHORIZED = {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED", "M_USER_LOCKED"}
SERVER_ERROR, TOO_MANY = 500, 429

_log = structlog.get_logger()


class ServerFailed(Exception):
    """The server failed. It may have done what it was asked."""


@frozen
class Timeline:
    """The new events of a room."""

    room_id: str
    events: Sequence[Mapping[str, Any]]
    """The events, oldest first, decrypted where possible."""
    gap: bool
    """True if there are more events before these."""


@frozen
class News:
    """A sync: what is new in all rooms."""

    token: str
    """Where the next sync continues."""
    timelines: Sequence[Timeline]
    invites: Sequence[str]
    """The rooms to which the account was invited."""
    sessions: frozenset[str]
    """The ids of the sessions whose keys came."""


@define(eq=False)
class Server:
    """A session of the account on its server. All calls raise the errors of `checked`."""

    loop: AsyncioLoop
    client: "Client"
    unauthorized: trio.Event = Factory(trio.Event)
    """Set when the server no longer knows the session."""
    is_soft_logout: bool = False
    """True if the server still knows the device, so that it may log in again with its keys."""
    _synced: trio.Event = Factory(trio.Event)
    """Of the next sync."""

    @property
    def user_id(self) -> str:
        """The account."""
        return str(self.client.user_id)

    @property
    def token(self) -> str:
        """The access token."""
        return str(self.client.access_token)

    async def login(self, password: str, device_name: str) -> None:
        """Log in as the session's device."""
        await self._asked(self.client.login, password, device_name)

    async def who(self, token: str) -> tuple[str, str]:
        """Return the user and the device of an access token."""
        self.client.access_token = token
        found = await self.call("GET", "/account/whoami")
        return str(found.get("user_id") or ""), str(found.get("device_id") or "")

    def encrypted(self, room_id: str) -> bool:
        """Return True if a room is encrypted."""
        room = self.client.rooms.get(room_id)
        return room is not None and room.encrypted

    @property
    def can_encrypt(self) -> bool:
        """True if this session has encryption."""
        return self.client.olm is not None

    def members(self, room_id: str) -> Collection[str]:
        """Return the users of a room, those included who are invited."""
        room = self.client.rooms.get(room_id)
        return () if room is None else tuple(room.users)

    def is_group(self, room_id: str) -> bool:
        """Return True if a room has more than one user besides the account."""
        return len(self.members(room_id)) > 2  # noqa: PLR2004 -- both sides of a direct chat

    def room_name(self, room_id: str) -> str | None:
        """Return the name of a room, for people."""
        room = self.client.rooms.get(room_id)
        return None if room is None else str(room.display_name)[:1000] or None

    def user_name(self, room_id: str, user: str) -> str:
        """Return the name of a user, for people."""
        room = self.client.rooms.get(room_id)
        name = None if room is None else room.user_name(user)
        return (str(name) if name else user)[:1000]

    async def known(self, room_id: str, within_s: float = 5.0) -> bool:
        """Wait until a sync has brought the room. Return False if none does."""
        with trio.move_on_after(within_s):
            while room_id not in self.client.rooms:
                await self._synced.wait()
        return room_id in self.client.rooms

    # -- receiving ---------------------------------------------------------------

    async def sync(self, since: str | None, *, everything: bool = False) -> News:
        """Wait for news. `everything`: return at once, and learn the state of all rooms."""
        answer: Any = await self._asked(
            self.client.sync,
            timeout=0 if everything else LONG_POLL_MS,
            sync_filter=dict(FILTER),
            since=since,
            full_state=everything,
        )
        self._synced.set()
        self._synced = trio.Event()
        return News(
            answer.next_batch,
            [
                Timeline(room_id, _sources(room.timeline.events), bool(room.timeline.limited))
                for room_id, room in answer.rooms.join.items()
            ],
            tuple(answer.rooms.invite),
            frozenset(filter(None, (_session_of(each) for each in answer.to_device_events))),
        )

    async def after(self, room_id: str, token: str) -> tuple[Sequence[Mapping[str, Any]], str | None]:
        """Return a page of a room's events after a token, and the token of the next one, if there is one."""
        path = f"/rooms/{quote(room_id, safe='')}/messages?dir=f&limit={PAGE}&from={quote(token, safe='')}"
        page = await self.call("GET", path)
        chunk, end = page.get("chunk"), page.get("end")
        events = [each for each in chunk if isinstance(each, dict)] if isinstance(chunk, list) else []
        decrypted = [await self._decrypted(each, room_id) for each in events]
        return decrypted, end if isinstance(end, str) and end != token and events else None

    async def event(self, room_id: str, event_id: str) -> Mapping[str, Any] | None:
        """Return an event of a room, or None if there is none."""
        path = f"/rooms/{quote(room_id, safe='')}/event/{quote(event_id, safe='')}"
        try:
            return await self._decrypted(dict(await self.call("GET", path)), room_id)
        except DeliveryRejected:
            return None

    async def _decrypted(self, source: dict[str, Any], room_id: str) -> Mapping[str, Any]:
        return await self.loop.run(self.client.decrypted, source, room_id)

    async def join(self, room_id: str) -> None:
        """Join a room to which the account was invited."""
        await self._asked(self.client.join, room_id)

    async def seen(self, room_id: str, event_id: str) -> None:
        """Show users that their messages up to this one were received."""
        path = f"/rooms/{quote(room_id, safe='')}/receipt/m.read/{quote(event_id, safe='')}"
        await self.call("POST", path, {})

    async def exchange_keys(self) -> None:
        """Do what is due for the keys of others and of the account."""
        with self._errors():
            await self.loop.run(self.client.exchange_keys)

    async def ask_for_key(self, source: Mapping[str, Any], room_id: str) -> None:
        """Ask the sender of an encrypted event, and the account's other devices, for its key."""
        with self._errors():
            await self.loop.run(self._ask_for_key, dict(source), room_id)

    async def _ask_for_key(self, source: dict[str, Any], room_id: str) -> None:
        from nio.events import MegolmEvent  # noqa: PLC0415 -- of the extra `matrix`

        event = MegolmEvent.from_dict(source)
        if isinstance(event, MegolmEvent) and event.session_id not in self.client.outgoing_key_requests:
            event.room_id = room_id
            await self.client.request_room_key(event)

    # -- sending -----------------------------------------------------------------

    async def send(self, room_id: str, kind: str, content: Mapping[str, Any], key: str) -> str:
        """Send an event, encrypted if the room is. Return its id, the same for the same key."""
        encrypts = self.encrypted(room_id) and kind != "m.reaction"
        if encrypts and not self.can_encrypt:
            raise DeliveryRejected(f"the room is encrypted, and encryption is not installed: {MISSING}")
        if encrypts:
            with self._errors():
                await self.loop.run(self.client.share_key, room_id)
        answer: Any = await self._asked(
            self.client.room_send, room_id, kind, dict(content), tx_id=key, ignore_unverified_devices=True
        )
        return str(answer.event_id)

    async def notice_in_plain(self, room_id: str, text: str, key: str) -> None:
        """Send a notice that is not encrypted, also if the room is."""
        path = f"/rooms/{quote(room_id, safe='')}/send/m.room.message/{quote(key, safe='')}"
        await self.call("PUT", path, {"msgtype": "m.notice", "body": text})

    async def redact(self, room_id: str, event_id: str, key: str) -> None:
        """Delete an event."""
        path = f"/rooms/{quote(room_id, safe='')}/redact/{quote(event_id, safe='')}/{quote(key, safe='')}"
        await self.call("PUT", path, {})

    async def typing(self, room_id: str, for_s: float) -> None:
        """Show that the assistant writes; 0: that it no longer does."""
        await self._asked(self.client.room_typing, room_id, for_s > 0, timeout=int(for_s * 1000))

    # -- direct chats ------------------------------------------------------------

    def direct_room(self, user: str) -> str | None:
        """Return a room that the account shares with this user alone."""
        pair = {user, self.user_id}
        found = (room_id for room_id, room in self.client.rooms.items() if set(room.users) == pair)
        return next(found, None)

    async def create_direct(self, user: str, *, encrypted: bool) -> str:
        """Create a direct chat with a user, and invite them."""
        state = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        body = {
            "is_direct": True,
            "preset": "trusted_private_chat",
            "invite": [user],
            "initial_state": [state] if encrypted and self.can_encrypt else [],
        }
        room_id = str((await self.call("POST", "/createRoom", body)).get("room_id"))
        await self.mark_direct(room_id, user)
        return room_id

    async def mark_direct(self, room_id: str, user: str) -> None:
        """Have the account's clients show a room as a direct chat."""
        path = f"/user/{quote(self.user_id, safe='')}/account_data/m.direct"
        try:
            known = await self.call("GET", path)
        except DeliveryRejected:
            known = {}
        rooms = known.get(user)
        listed = [each for each in rooms if each != room_id] if isinstance(rooms, list) else []
        await self.call("PUT", path, {**known, user: [*listed, room_id]})

    # -- requests ----------------------------------------------------------------

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Mapping[str, Any]:
        """Make a request of the client API and return its answer."""
        with self._errors():
            status, answer = await self.loop.run(self.client.call, method, API + path, body)
        answer = answer if isinstance(answer, Mapping) else {}
        if status >= 400:  # noqa: PLR2004 -- HTTP's
            self._refuse(answer, status)
        return answer

    async def _asked(
        self, function: Callable[..., Awaitable[Any]], *args: object, **options: object
    ) -> object:
        """Call a function of the SDK that returns what the server answers."""
        with self._errors():
            answer: Any = await self.loop.run(function, *args, **options)
        if hasattr(answer, "status_code"):  # nio's answers have none, and its errors have
            status = getattr(getattr(answer, "transport_response", None), "status", SERVER_ERROR)
            refusal = {
                "errcode": answer.status_code,
                "error": answer.message,
                "retry_after_ms": answer.retry_after_ms,
                "soft_logout": answer.soft_logout,
            }
            self._refuse(refusal, int(status))
        result: object = answer
        return result

    def _refuse(self, answer: Mapping[str, Any], status: int) -> None:
        error = refusal(answer, status)
        if isinstance(error, ChannelUnavailable) and error.condition == "unauthorized":
            self.is_soft_logout = answer.get("soft_logout") is True
            self.unauthorized.set()
        raise error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise what the SDK raises as an error of the host, if nothing was sent."""
        from aiohttp import ClientConnectorError  # noqa: PLC0415 -- of the extra `matrix`
        from nio.exceptions import LocalProtocolError  # noqa: PLC0415 -- likewise

        try:
            yield
        except ClientConnectorError as error:
            raise ChannelUnavailable(f"the server cannot be reached: {error}") from error
        except LocalProtocolError as error:
            raise DeliveryRejected(f"this cannot be sent: {error}") from error


def refusal(answer: Mapping[str, Any], status: int) -> Exception:
    """Return the error for an answer that refuses a request."""
    code, said = answer.get("errcode"), answer.get("error")
    text = f"the server says {str(code or status)[:100]}: {str(said or 'no reason')[:300]}"
    if code == "M_LIMIT_EXCEEDED" or status == TOO_MANY:
        wait_ms = answer.get("retry_after_ms")
        wait_s = wait_ms / 1000 if isinstance(wait_ms, int | float) and 0 < wait_ms < 86_400_000 else None  # noqa: PLR2004 -- a day
        return ChannelUnavailable(text, wait_s, condition="rate limited")
    if code in UNAUTHORIZED:
        return ChannelUnavailable(f"{text}; check the password or the access token", condition="unauthorized")
    if status >= SERVER_ERROR or code == "M_UNKNOWN":
        return ServerFailed(text)
    return DeliveryRejected(text)


def _session_of(event: object) -> str | None:
    """Return the id of the session whose key an event brings, if it brings one."""
    session_id = getattr(event, "session_id", None)
    return session_id if isinstance(session_id, str) else None


def _sources(events: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
    """Return the JSON of nio's events."""
    found = (getattr(event, "source", None) or getattr(event, "event_dict", None) for event in events)
    return [source for source in found if isinstance(source, Mapping)]


# -- connecting ------------------------------------------------------------------


@asynccontextmanager
async def open_server(session: Session, keys: Path) -> AsyncIterator[Server]:
    """Open the client of a session. It makes no request yet.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        from nanoclaw.channels.matrix.sdk import CAN_ENCRYPT, new_client  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise ConfigError(MISSING) from error
    async with open_asyncio_loop() as loop:
        client = new_client(
            session.homeserver,
            session.user_id or session.account,
            session.device_id,
            private_folder(keys),
            encrypted=CAN_ENCRYPT,
        )
        server = Server(loop, client)
        if session.access_token:
            await loop.run(_restored, client, session)
        try:
            yield server
        finally:
            await loop.close(client.close)
            if client.store is not None:
                client.store.database.close()


async def _restored(client: "Client", session: Session) -> None:
    """Load the keys of a session."""
    client.restore_login(session.user_id, session.device_id, session.access_token)
