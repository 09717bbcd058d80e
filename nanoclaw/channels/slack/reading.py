"""Turns what comes over the socket into events, offers them in the order of each chat, and confirms them."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
import trio
from attrs import Factory, define, field, frozen

from nanoclaw.channels.handover import Handover
from nanoclaw.channels.in_order import InOrder
from nanoclaw.channels.media import Files, Media
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.slack.connection import (
    RATE_PAUSE_S,
    Envelope,
    SlackBroke,
    SlackConnection,
    SlackRefused,
)
from nanoclaw.channels.slack.dialect import emoji_of, mentioned, plain
from nanoclaw.channels.slack.files import takes_token
from nanoclaw.channels.slack.people import SlackNames
from nanoclaw.channels.slack.receiving import (
    MemberChanged,
    Pressed,
    Reaction,
    Removed,
    Renamed,
    Said,
    Seen,
    SlackFile,
    said_in,
    seen_in,
)
from nanoclaw.channels.state import ChannelState, StateError
from nanoclaw.records import (
    Address,
    ChatMessage,
    ChatRenamed,
    Clicked,
    Deleted,
    Event,
    InboundEvent,
    Joined,
    Left,
    Reacted,
)

NOTE_S = 30.0
"""Seconds between notes of the newest message of each chat."""
NEWEST = "newest"
"""The key of the state that has these notes."""
MOST_CHATS = 500
"""Limit of chats in these notes. The chat whose message is oldest is left out."""
MOST_MENTIONED = 50
"""Limit of people in one message whose names are looked up."""
MOST_PAGES, PAGE = 5, 200
"""Limits of what is read of a chat after a pause: pages, and messages in each."""

_log = structlog.get_logger()


@frozen
class Me:
    """The app's own account."""

    user_id: str
    bot_id: str
    name: str
    """The name of the assistant, in place of its mentions."""

    def is_author(self, user: str) -> bool:
        """Return True if the app wrote a message."""
        return bool(user) and user in {self.user_id, self.bot_id}


@define(eq=False)
class SlackReader:
    """Reads the events of one connection."""

    channel_type: str
    me: Me
    connection: SlackConnection
    names: SlackNames
    media: Media
    api_base: str
    token: str = field(repr=False)
    handover: Handover
    state: ChannelState
    newest: dict[str, str] = Factory(dict)
    """The newest message of each chat that the host has."""

    async def run(self) -> None:
        """Read until cancelled. First it offers what was written while there was no connection."""
        async with trio.open_nursery() as nursery:
            chats = InOrder(nursery)
            await self._load()
            nursery.start_soon(self._note_regularly)
            for channel, ts in sorted(self.newest.items()):
                chats.put(channel, partial(self._catch_up, channel, ts))
            async for envelope in self.connection.envelopes:
                _, kind, payload = envelope
                seen = seen_in(kind, payload)
                chats.put(seen.channel if seen else "", partial(self._take, envelope, seen))

    # -- one envelope

    async def _take(self, envelope: Envelope, seen: Seen | None) -> None:
        id_, kind, payload = envelope
        if seen is None:
            _log.debug("slack.ignored", kind=kind, type=_type_of(payload))
        else:
            await self._offer(seen)
        await self.connection.confirm(id_)

    async def _offer(self, seen: Seen) -> None:
        """Offer an event until the host has it, or will never take it."""
        if isinstance(seen, Renamed):
            self.names.rename(seen.channel, seen.name)
        async with self.media.files() as files:
            event = await self._event(seen, files)
            if event is None:
                return
            routed = await self.handover.offer_until_accepted(event)
        if isinstance(seen, Said) and not seen.version:
            self.newest[seen.channel] = max(seen.ts, self.newest.get(seen.channel, ""))
        if routed and routed.dropped and isinstance(seen, Pressed):
            await self._tell(seen, routed.dropped)

    async def _tell(self, press: Pressed, why: str) -> None:
        """Tell the user alone why a press changed nothing."""
        thread = {"thread_ts": press.thread} if press.thread else {}
        with suppress(ChannelUnavailable, SlackRefused, SlackBroke):
            await self.connection.call(
                "chat.postEphemeral", channel=press.channel, user=press.user, text=why, **thread
            )

    # -- events

    async def _event(self, seen: Seen, files: Files) -> Event | None:
        """Return the event to offer. Its files are on disk then."""
        match seen:
            case Said():
                return await self._said(seen, files)
            case Removed():
                return Deleted(self._address(seen.channel, seen.thread), seen.ts)
            case Reaction():
                return await self._reaction(seen)
            case Pressed():
                where = self._address(seen.channel, seen.thread)
                id_ = f"{seen.channel} {seen.event_ts}"
                return Clicked(where, id_, seen.question_id, seen.value, _user(seen.user))
            case Renamed(channel, name, at):
                return ChatRenamed(self._address(channel, None), at, name)
            case MemberChanged():
                return await self._member_changed(seen)

    async def _said(self, said: Said, files: Files) -> Event:
        ids = {*mentioned(said.text)}
        names = {id_: await self.names.user(id_) for id_ in sorted(ids - {self.me.user_id})[:MOST_MENTIONED]}
        names[self.me.user_id] = self.me.name
        text = plain(said.text, lambda id_: names.get(id_, id_))
        for file in said.files:
            await self._fetch(file, files)
        message = ChatMessage(
            said.ts,
            files.text(text),
            await self.names.user(said.user),
            _user(said.user),
            files.attachments,
            is_from_me=self.me.is_author(said.user),
            is_mention=self.me.user_id in ids,
        )
        name = None if said.direct else await self.names.channel(said.channel)
        where = self._address(said.channel, said.thread)
        return InboundEvent(where, said.ts, message, said.version, name, is_group=not said.direct)

    async def _fetch(self, file: SlackFile, files: Files) -> None:
        if not takes_token(file.url, self.api_base):
            files.lost(file.name, "it is not on a server of Slack")
            return
        kind = file.mimetype.partition("/")[0]
        known = kind if kind in {"image", "audio", "video"} else "file"
        headers = {"authorization": f"Bearer {self.token}"}
        await files.fetch(
            known, file.name, file.url, size=file.size or None, headers=headers, trusted=[self.api_base]
        )

    async def _member_changed(self, seen: MemberChanged) -> Event:
        where, user = self._address(seen.channel, None), _user(seen.user)
        name, is_me = await self.names.user(seen.user), self.me.is_author(seen.user)
        kind = Joined if seen.how == "joined" else Left
        return kind(where, f"{seen.event_ts} {seen.user}", user, name, is_me=is_me)

    async def _reaction(self, seen: Reaction) -> Event | None:
        """Return the reaction to a message of ours; the host needs no other."""
        if not self.me.is_author(seen.author):
            return None
        thread = await self._thread_of(seen.channel, seen.target)
        return Reacted(
            self._address(seen.channel, thread),
            f"{seen.event_ts} {seen.user} {seen.name}",
            seen.target,
            emoji_of(seen.name),
            await self.names.user(seen.user),
            _user(seen.user),
            seen.removed,
        )

    async def _thread_of(self, channel: str, ts: str) -> str | None:
        """Return the thread of a message. An event of a reaction does not have it."""
        with suppress(ChannelUnavailable, SlackRefused, SlackBroke):
            answer = await self.connection.read("conversations.replies", channel=channel, ts=ts, limit=1)
            found = said_in(_first(answer.get("messages")), channel, direct=False)
            return found.thread if found else None
        return None

    def _address(self, channel: str, thread: str | None) -> Address:
        return Address(self.channel_type, channel, thread)

    # -- what was written while there was no connection

    async def _load(self) -> None:
        with suppress(StateError, ValueError):
            kept: object = json.loads(await self.state.get(NEWEST) or "{}")
            if isinstance(kept, Mapping):
                self.newest.update({str(key): str(value) for key, value in kept.items()})

    async def _note_regularly(self) -> None:
        """Note the newest messages from time to time. Messages after the last note are read again."""
        noted = dict(self.newest)
        while True:
            await trio.sleep(NOTE_S)
            if self.newest != noted:
                noted = dict(sorted(self.newest.items(), key=lambda each: each[1])[-MOST_CHATS:])
                with suppress(StateError):
                    await self.state.set(NEWEST, json.dumps(noted))

    async def _catch_up(self, channel: str, since: str) -> None:
        """Offer the messages of a chat after the newest one that the host has, oldest first."""
        found, cursor = list[Said](), ""
        for _ in range(MOST_PAGES):
            answer = await self._page(channel, since, cursor)
            messages = answer.get("messages")
            for each in messages if isinstance(messages, list) else ():
                said = (
                    said_in(each, channel, direct=channel.startswith("D"))
                    if isinstance(each, Mapping)
                    else None
                )
                found += [said] if said else []
            cursor = _cursor(answer)
            if not cursor:
                break
        for said in sorted(found, key=lambda each: each.ts):
            await self._offer(said)

    async def _page(self, channel: str, since: str, cursor: str) -> Mapping[str, Any]:
        more = {"cursor": cursor} if cursor else {}
        read: Callable[[], Awaitable[Mapping[str, Any]]] = partial(
            self.connection.read, "conversations.history", channel=channel, oldest=since, limit=PAGE, **more
        )
        while True:
            try:
                return await read()
            except (SlackRefused, SlackBroke) as error:
                _log.warning("slack.not_caught_up", channel=channel, reason=str(error))
                return {}
            except ChannelUnavailable as error:
                if error.condition != "rate limited":
                    raise
                await trio.sleep(error.retry_after or RATE_PAUSE_S)


def _user(id_: str) -> str:
    return f"slack:{id_}"


def _first(found: object) -> Mapping[str, Any]:
    first = found[0] if isinstance(found, list) and found else {}
    return first if isinstance(first, Mapping) else {}


def _cursor(answer: Mapping[str, Any]) -> str:
    found = answer.get("response_metadata")
    cursor = found.get("next_cursor") if isinstance(found, Mapping) else None
    return cursor if isinstance(cursor, str) else ""


def _type_of(payload: object) -> str:
    event = payload.get("event") if isinstance(payload, Mapping) else None
    found = event.get("type") if isinstance(event, Mapping) else None
    return str(found)[:100]
