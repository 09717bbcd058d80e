"""The client of matrix-nio, and what it needs to lose no key. `server.py` imports it at the first use.

- An event that the library cannot handle is skipped and logged. Else one hostile event would stop every sync.
- The keys of a sync are stored in one transaction: all of them, or none if the process dies.
- One-time keys are on disk before the server has their public parts.
- A message is encrypted only after its key has reached every device that can get it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from nio import AsyncClient, AsyncClientConfig
from nio.api import Api
from nio.crypto import ENCRYPTION_ENABLED
from nio.events import BadEvent, MegolmEvent, UnknownBadEvent
from nio.responses import (
    KeysUploadError,
    KeysUploadResponse,
    Response,
    ShareGroupSessionError,
)

from nanoclaw.channels.protocol import ChannelUnavailable

CAN_ENCRYPT = ENCRYPTION_ENABLED
REQUEST_S = 30.0

_log = structlog.get_logger()


def new_client(homeserver: str, user_id: str, device_id: str, keys: Path, *, encrypted: bool) -> "Client":
    """Return a client that makes no request yet. It never repeats one by itself."""
    config = AsyncClientConfig(
        max_limit_exceeded=0,
        max_timeouts=0,
        request_timeout=REQUEST_S,
        encryption_enabled=encrypted,
        store_sync_tokens=False,
    )
    return Client(homeserver, user_id, device_id, str(keys), config)


class Client(AsyncClient):  # type: ignore[misc]  # nio has no types
    """nio's client, hardened."""

    # -- receiving ---------------------------------------------------------------

    async def receive_response(self, response: Response) -> None:
        """Handle a response. Store the keys that it brings in one transaction.

        Nothing in here waits, because this client has no callbacks. So no other task uses the store.
        """
        with self._transaction():
            await super().receive_response(response)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self.store is None:
            yield
            return
        with self.store.database.atomic():
            yield

    def _handle_decrypt_to_device(self, to_device_event: Any) -> Any:
        found = list[Any]()
        with _skipping("to_device", to_device_event):
            found.append(super()._handle_decrypt_to_device(to_device_event))
        return found[0] if found else None

    def _handle_timeline_event(self, event: Any, room_id: str, room: Any, encrypted_rooms: set[str]) -> Any:
        found = list[Any]()
        with _skipping("timeline", event):
            found.append(super()._handle_timeline_event(event, room_id, room, encrypted_rooms))
        return found[0] if found else None

    def _handle_joined_state(self, room_id: str, join_info: Any, encrypted_rooms: set[str]) -> None:
        """Handle the state of a room, one event at a time."""
        events, join_info.state = join_info.state, []
        super()._handle_joined_state(room_id, join_info, encrypted_rooms)
        room = self.rooms[room_id]
        for event in events:
            if not isinstance(event, BadEvent | UnknownBadEvent):
                self._handle_timeline_event(event, room_id, room, encrypted_rooms)

    def _decrypt_event_array(self, array: list[Any]) -> None:
        with _skipping("events", None):
            super()._decrypt_event_array(array)

    async def decrypted(self, source: dict[str, Any], room_id: str) -> dict[str, Any]:
        """Return an event's JSON, decrypted if that is possible."""
        event = MegolmEvent.from_dict(source) if source.get("type") == "m.room.encrypted" else None
        if self.olm is None or not isinstance(event, MegolmEvent):
            return source
        found: Any = None
        with _skipping("event", event):
            found = self.olm.decrypt_event(event, room_id)
        decrypted: dict[str, Any] = getattr(found, "source", source)
        return decrypted

    # -- keys --------------------------------------------------------------------

    async def keys_upload(self) -> KeysUploadResponse | KeysUploadError:
        """Upload keys that others need to write to this device."""
        assert self.olm is not None  # noqa: S101 -- it is asked only with encryption
        keys = self.olm.share_keys()
        self.olm.save_account()
        method, path, data = Api.keys_upload(self.access_token, keys)
        answer: Any = await self._send(KeysUploadResponse, method, path, data)
        uploaded: KeysUploadResponse | KeysUploadError = answer
        return uploaded

    async def exchange_keys(self) -> None:
        """Do what is due: upload keys, ask for those of others, answer those who ask."""
        if self.olm is None:
            return
        if self.should_upload_keys:
            _require(await self.keys_upload())
        if self.should_query_keys:
            _require(await self.keys_query())
        if self.should_claim_keys:
            wanted: Any = self.get_users_for_key_claiming()
            _require(await self.keys_claim(wanted))
        await self.send_to_device_messages()

    async def share_key(self, room_id: str) -> None:
        """Give the key of the room's messages to all devices of its users, also to unverified ones.

        Raises:
            ChannelUnavailable: not all of them could be reached. Nothing was sent.
        """
        assert self.olm is not None  # noqa: S101 -- it is asked only with encryption
        if not self.rooms[room_id].members_synced:
            _require(await self.joined_members(room_id))
        if self.should_query_keys:
            _require(await self.keys_query())
        if not self.olm.should_share_group_session(room_id):
            return
        shared = await self.share_group_session(room_id, ignore_unverified_devices=True)
        left = () if isinstance(shared, ShareGroupSessionError) else self._without_key(room_id)
        if left or isinstance(shared, ShareGroupSessionError):
            self.invalidate_outbound_session(room_id)
            raise ChannelUnavailable(f"the key of the room did not reach all devices; missing: {left}"[:500])

    def _without_key(self, room_id: str) -> tuple[str, ...]:
        """Return the devices that could get the room's key and did not."""
        assert self.olm is not None  # noqa: S101 -- it is asked only with encryption
        session = self.olm.outbound_group_sessions[room_id]
        return tuple(
            device.id
            for user in self.rooms[room_id].users
            for device in self.device_store.active_user_devices(user)
            if (user, device.id) not in session.users_shared_with
            and device.id != self.device_id
            and self.olm.session_store.get(device.curve25519) is not None
        )

    # -- requests that nio lacks -------------------------------------------------

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Make a request of the client API. Return its status and its JSON, or {}."""
        data = None if body is None else Api.to_json(body)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.access_token}"}
        response = await self.send(method, path, data, headers)
        return response.status, await self.parse_body(response)


@contextmanager
def _skipping(what: str, event: Any) -> Iterator[None]:
    """Skip what the library cannot handle, and log it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- anybody may have written the event
        source = getattr(event, "source", None)
        _log.warning(
            "matrix.event_skipped",
            what=what,
            message=str((source or {}).get("event_id"))[:100],
            reason=f"{type(error).__name__}: {error}"[:500],
        )


def _require(response: Response) -> None:
    """Log a failure. It is tried again after the next sync."""
    if hasattr(response, "status_code"):
        _log.warning("matrix.keys_failed", reason=str(response)[:500])
