"""The stream of server-sent events that the page follows.

`message` is a message as it is now; its id is the number after which a page goes on. `draft`, `typing` and
`settled` are hints without a number. `reset` tells the page to load everything again, and `logged-out` ends
the stream.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import trio
from attrs import define
from starlette.requests import Request

from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.rooms import Subscription, updates_within
from nanoclaw.channels.http.updates import Drafted, Settled, Update
from nanoclaw.channels.http.web import markdown, requests, shown
from nanoclaw.channels.http.web.browsers import Browsers
from nanoclaw.channels.http.web.conversations import Conversation
from nanoclaw.channels.http.web.talking import Talk
from nanoclaw.store.transcript.entries import MESSAGES, Entry

BEAT_S = 15.0
"""Seconds of silence after which the stream shows that it is alive, and checks the login."""
PAUSE_S = 0.06
"""Seconds between two looks: of drafts that come faster, only the newest is sent."""


def begin(request: Request) -> int | None:
    """Return the number after which a page goes on: that of its last event, or else of its address.

    Raises:
        ApiError: it is no number.
    """
    last = request.headers.get("last-event-id", "")
    return int(last) if last.isascii() and last.isdigit() else requests.number(request, "after")


@define(eq=False)
class EventStream:
    """The events for one page."""

    talk: Talk
    browsers: Browsers
    request: Request
    following: Subscription
    is_reset: bool = False
    """True if the page has seen numbers that the transcript does not have: another one took its place."""

    async def lines(self) -> AsyncGenerator[bytes]:
        """Yield events until the server stops or the browser is logged out."""
        yield _event("reset" if self.is_reset else "ready", {})
        closing, checked_at = self.talk.server.closing, trio.current_time()
        while not closing.is_set():
            updates = await _updates(self.following, closing)
            for update in updates:
                for line in await self._shown(update):
                    yield line
            if trio.current_time() >= checked_at + BEAT_S:
                if not await self._is_logged_in():
                    yield _event("logged-out", {})
                    return
                checked_at = trio.current_time()
            if updates:
                await trio.sleep(PAUSE_S)
            else:
                yield b": \n\n"

    async def _shown(self, update: Update) -> Sequence[bytes]:
        if isinstance(update, Entry):
            return await self._entry(update)
        name = Conversation(update.chat, update.thread).name(self.talk.person.user)
        match update:
            case Drafted(text=text):
                await markdown.rendered_ahead([text])
                return [_event("draft", shown.draft(name, text))]
            case Settled(message_id=id_, outcome=outcome):
                return [_event("settled", {"thread": name, "id": id_, "outcome": outcome})]
            case _:
                return [_event("typing", {"thread": name})]

    async def _entry(self, entry: Entry) -> Sequence[bytes]:
        """Show a message. A change is shown as the whole message that it changed."""
        now: Entry | None = entry
        if entry.kind == "user" or entry.kind not in MESSAGES:  # the host may have refused a user's
            now = await self.talk.server.rooms.room(entry.chat).message(entry.message_id)
        return [] if now is None else [_event("message", await self.talk.shown(now), entry.seq)]

    async def _is_logged_in(self) -> bool:
        try:
            await self.browsers.login(self.request)
        except ApiError as error:
            return error.status != 401  # noqa: PLR2004 -- anything else is no answer
        return True


async def _updates(following: Subscription, closing: trio.Event) -> Sequence[Update]:
    """Return the next updates; none after a while, and when the server stops."""
    updates: Sequence[Update] = ()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when, closing, nursery.cancel_scope)
        updates = await updates_within(following, BEAT_S)
        nursery.cancel_scope.cancel()
    return updates


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _event(name: str, data: Mapping[str, Any], id_: int | None = None) -> bytes:
    number = "" if id_ is None else f"id: {id_}\n"
    return f"{number}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode(
        "utf-8", "replace"
    )
