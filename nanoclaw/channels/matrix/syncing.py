"""The sync loop: offers what is new to the host, and moves on once it is stored there.

The order of each round keeps every message, wherever the process dies. First nio stores the keys that came.
Then events are offered; what waits (invitations, events without a key) is stored; and last the
sync token is. A round that was cut off is repeated, and the host stores an event once that is offered twice.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
import trio
from attrs import Factory, asdict, define, evolve, field, frozen

from nanoclaw.channels.handover import Handover
from nanoclaw.channels.matrix.incoming import Incoming
from nanoclaw.channels.matrix.receiving import Encrypted, Seen, read, since_invited
from nanoclaw.channels.matrix.server import News, Server, ServerFailed, Timeline
from nanoclaw.channels.media import Media
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.channels.state import ChannelState

MOST_ROOMS = 10
"""Rooms whose events are offered at the same time."""
MOST_MISSED = 20_000
"""Events of a room that are fetched after a pause. Those after them are lost, and a warning says so."""
MOST_HELD = 300
"""Events that wait for their key."""
HELD_S = 3 * 86_400.0
JOINS_AT_ONCE, JOIN_EVERY_S = 10, 6.0
"""Invitations that are accepted at once, and seconds between those after them."""
TELL_AFTER_S = 15.0
"""Seconds that a key may be late before the room is told."""
SEEN_AFTER_S = 0.3
"""Seconds in which the receipts of several messages become one."""
ATTEMPTS = 5
"""Syncs that may fail in a row, with pauses of 0.25 to 4 s, before the connection counts as lost."""
SYNC_S = 90.0
"""Time limit of a sync in seconds, which is a long poll of 30 s."""

NO_KEY = (
    "I could not read a message in this encrypted room, because I was not given its key. "
    "Please send it again. If that does not help, invite me to a new room."
)
NO_ENCRYPTION = (
    "This room is encrypted, and encryption is not installed here, so I can neither read nor answer. "
    "Please invite me to a room without encryption, or install nanoclaw[matrix] completely."
)

_log = structlog.get_logger()


@frozen
class Held:
    """An event that waits for its key."""

    room_id: str
    event_id: str
    session_id: str
    at_s: float
    """The date at which it came, as a Unix time."""
    told: bool = False


@define(eq=False)
class Syncing:
    """Takes what is new from the server. One task runs it."""

    server: Server
    incoming: Incoming
    handover: Handover
    media: Media
    state: ChannelState
    now: Callable[[], float]
    """Returns the date as a Unix time."""
    tell_after_s: float = TELL_AFTER_S
    _since: str | None = None
    _held: list[Held] = Factory(list)
    _invites: list[str] = Factory(list)
    _joins: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(JOINS_AT_ONCE))
    _rooms: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(MOST_ROOMS))
    _changed: trio.Event = Factory(trio.Event)
    _seen: dict[str, str] = Factory(dict)
    """The last stored event of each room that users are not yet shown as read."""
    _saw: trio.Event = Factory(trio.Event)

    async def connect(self) -> News:
        """Learn the state of all rooms, and what is new since the last round."""
        self._since = await self.state.get("since")
        self._held = [Held(**each) for each in json.loads(await self.state.get("held") or "[]")]
        self._invites = json.loads(await self.state.get("invites") or "[]")
        with trio.fail_after(SYNC_S):
            news = await self.server.sync(self._since, everything=True)
        await self._exchange_keys()
        return news

    async def run(self, news: News) -> None:
        """Take what is new until cancelled.

        Raises:
            ChannelUnavailable: the server cannot be reached, or refuses the account.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._accept_invites)
            nursery.start_soon(self._tell_of_missing_keys)
            nursery.start_soon(self._show_seen)
            while True:
                await self._take(news)
                self._note_seen(news)
                await self._exchange_keys()
                news = await self._next()

    async def _next(self) -> News:
        """Return the next news. A server that fails or limits the rate is asked again."""
        reason: Exception | None = None
        for attempt in range(ATTEMPTS):
            try:
                with trio.fail_after(SYNC_S):
                    return await self.server.sync(self._since)
            except ChannelUnavailable as error:
                if error.condition in {"unauthorized", "conflict"}:
                    raise
                reason = error
            except Exception as error:  # noqa: BLE001 -- the SDK's network may fail in any way
                reason = error
            _log.info("matrix.sync_failed", reason=repr(reason)[:300], attempt=attempt)
            await trio.sleep(getattr(reason, "retry_after", None) or 2.0**attempt / 4)
        raise ChannelUnavailable(f"the server cannot be reached: {reason}") from reason

    async def _take(self, news: News) -> None:
        """Offer what is new, then store what waits, then move on."""
        async with trio.open_nursery() as nursery:
            if self._since is not None:  # what was said before the first start is not for the assistant
                for timeline in news.timelines:
                    nursery.start_soon(self._take_room, timeline)
        if news.sessions:
            await self._offer_held(news.sessions)
        await self._keep_invites(news.invites)
        await self.state.set("since", news.token)
        self._since = news.token

    # -- one room ----------------------------------------------------------------

    async def _take_room(self, timeline: Timeline) -> None:
        async with self._rooms:
            seen = _seen(timeline.events)
            fresh = since_invited(seen, self.server.user_id)
            if timeline.gap and len(fresh) == len(seen):
                await self._fill_gap(timeline)
            sources = {str(source.get("event_id")): source for source in timeline.events}
            for each in fresh:
                await self._take_event(timeline.room_id, each, sources.get(each.event_id))

    async def _fill_gap(self, timeline: Timeline) -> None:
        """Take the events between the last round and a timeline, page by page."""
        known = {str(event.get("event_id")) for event in timeline.events}
        token, taken = self._since, 0
        while token is not None and taken < MOST_MISSED:
            events, token = await self.server.after(timeline.room_id, token)
            for source in events:
                if source.get("event_id") in known:
                    return
                seen = read(source)
                if seen is not None:
                    await self._take_event(timeline.room_id, seen, source)
            taken += len(events)
        if token is not None:
            _log.warning("matrix.events_missed", room=timeline.room_id, after=taken)

    async def _take_event(self, room_id: str, seen: Seen, source: Mapping[str, Any] | None) -> None:
        if isinstance(seen, Encrypted):
            await self._hold(room_id, seen, source)
            return
        async with self.media.files() as files:
            event = await self.incoming.event_of(room_id, seen, files)
            if event is not None:
                await self.handover.offer_until_accepted(event)

    # -- events without a key ----------------------------------------------------

    async def _hold(self, room_id: str, seen: Encrypted, source: Mapping[str, Any] | None) -> None:
        """Keep an event until its key comes, and ask for the key."""
        if seen.sender == self.server.user_id:
            return
        if not self.server.can_encrypt:
            await self._tell_once(room_id, "no-encryption", NO_ENCRYPTION)
            return
        if any(each.event_id == seen.event_id for each in self._held):
            return
        _log.info("matrix.key_missing", room=room_id, message=seen.event_id)
        await self._store_held([*self._held, Held(room_id, seen.event_id, seen.session_id, self.now())])
        if source is not None:
            with trio.move_on_after(5):
                await self._quietly(self.server.ask_for_key, source, room_id)

    async def _offer_held(self, sessions: frozenset[str]) -> None:
        """Offer the events whose keys came."""
        for held in [each for each in self._held if each.session_id in sessions]:
            source = await self.server.event(held.room_id, held.event_id)
            seen = read(source)
            if isinstance(seen, Encrypted):
                continue
            if seen is not None:
                await self._take_event(held.room_id, seen, source)
            await self._store_held([each for each in self._held if each.event_id != held.event_id])

    async def _store_held(self, held: list[Held]) -> None:
        oldest_s = self.now() - HELD_S
        self._held = [each for each in held if each.at_s > oldest_s][-MOST_HELD:]
        rows = [asdict(each) for each in self._held]
        await self.state.set("held", json.dumps(rows))
        self._wake()

    async def _tell_of_missing_keys(self) -> None:
        """Tell rooms, once for each key, of events that could not be read."""
        while True:
            changed, waits = self._changed, [each for each in self._held if not each.told]
            if not waits:
                await changed.wait()
                continue
            await trio.sleep(max(0.0, min(each.at_s for each in waits) + self.tell_after_s - self.now()))
            late = [e for e in self._held if not e.told and e.at_s + self.tell_after_s <= self.now()]
            for room_id, session_id in {(each.room_id, each.session_id): None for each in late}:
                await self._tell_once(room_id, session_id, NO_KEY)
            ids = {each.event_id for each in late}
            await self._store_held(
                [evolve(each, told=each.told or each.event_id in ids) for each in self._held]
            )

    async def _tell_once(self, room_id: str, about: str, text: str) -> None:
        """Send a notice, once a month for the same matter."""
        if await self.state.set_if_absent(f"told {room_id} {about}"[:512], "", ttl_s=30 * 86_400):
            _log.warning("matrix.cannot_read", room=room_id, reason=text)
            await self._quietly(self.server.notice_in_plain, room_id, text, f"notice.{about}")

    # -- invitations -------------------------------------------------------------

    async def _keep_invites(self, rooms: Sequence[str]) -> None:
        fresh = [room for room in rooms if room not in self._invites]
        if fresh:
            await self._store_invites([*self._invites, *fresh][-1000:])

    async def _store_invites(self, rooms: list[str]) -> None:
        self._invites = rooms
        await self.state.set("invites", json.dumps(rooms))
        self._wake()

    async def _accept_invites(self) -> None:
        """Join the rooms of invitations, at a bounded rate. Who may talk there, the host decides."""
        free = JOINS_AT_ONCE
        refilled = trio.current_time()
        while True:
            changed = self._changed
            if not self._invites:
                await changed.wait()
                continue
            now = trio.current_time()
            gained = int((now - refilled) / JOIN_EVERY_S)
            free, refilled = min(JOINS_AT_ONCE, free + gained), refilled + gained * JOIN_EVERY_S
            if free <= 0:
                await trio.sleep(JOIN_EVERY_S)
                continue
            free -= 1
            await self._join(self._invites[0])

    async def _join(self, room_id: str) -> None:
        try:
            await self.server.join(room_id)
        except DeliveryRejected as error:
            _log.warning("matrix.invitation_refused", room=room_id, reason=str(error))
        except (ChannelUnavailable, ServerFailed) as error:
            _log.warning("matrix.join_failed", room=room_id, reason=str(error))
            await trio.sleep(getattr(error, "retry_after", None) or JOIN_EVERY_S)
            await self._store_invites([*self._invites[1:], room_id])
            return
        await self._store_invites([each for each in self._invites if each != room_id])

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- what may fail -----------------------------------------------------------

    def _note_seen(self, news: News) -> None:
        for timeline in news.timelines:
            others = [event for event in timeline.events if event.get("sender") != self.server.user_id]
            if others:
                self._seen[timeline.room_id] = str(others[-1].get("event_id"))
                self._saw.set()

    async def _show_seen(self) -> None:
        """Show users that their last messages were received."""
        while True:
            await self._saw.wait()
            await trio.sleep(SEEN_AFTER_S)
            self._saw, seen, self._seen = trio.Event(), self._seen, {}
            for room_id, event_id in seen.items():
                await self._quietly(self.server.seen, room_id, event_id)

    async def _exchange_keys(self) -> None:
        await self._quietly(self.server.exchange_keys)

    async def _quietly(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Call what is tried again later, or may be lost."""
        try:
            await function(*args)
        except Exception as error:  # noqa: BLE001 -- a lost connection shows in the sync
            _log.info(
                "matrix.call_failed", call=function.__name__, reason=f"{type(error).__name__}: {error}"[:300]
            )


def _seen(events: Sequence[Mapping[str, Any]]) -> Sequence[Seen]:
    return [seen for seen in map(read, events) if seen is not None]
