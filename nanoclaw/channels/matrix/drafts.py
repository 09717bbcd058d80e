"""Shows an answer while it is written: as a message that is edited, which the answer then replaces.

Drafts are stored before they are sent, so that the next start removes what a crash left. Once an answer takes
a draft's place, its id is stored with the draft. An answer that is sent again then replaces the same message.
"""

import json
from random import Random
from typing import Any

import structlog
import trio
from attrs import Factory, asdict, define, evolve, frozen

from nanoclaw.channels.matrix.contents import edit, placed, shown
from nanoclaw.channels.matrix.server import Server
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.state import ChannelState
from nanoclaw.records import Address

EVERY_S = 1.0
"""Seconds between two states of a draft. Newer ones replace those between."""
MOST = 200
"""Drafts that are remembered."""
KEY = "drafts"
MESSAGE = "m.room.message"

_log = structlog.get_logger()


@frozen
class Draft:
    """A message that shows an answer so far."""

    room_id: str
    thread: str | None
    key: str
    """The key with which it was sent."""
    event_id: str | None = None
    """None: it is not known whether it was sent."""
    answer: str | None = None
    """The `message_out_id` of the answer that takes its place."""


@define(eq=False)
class Drafts:
    """The drafts of one account. One task for each chat calls it."""

    server: Server
    state: ChannelState
    random: Random
    _drafts: list[Draft] = Factory(list)
    _next_at: dict[str, float] = Factory(dict)
    """The time at which each draft may change, by its key."""
    _edits: int = 0

    async def clean(self) -> None:
        """Remove what the last process left."""
        self._drafts = [Draft(**each) for each in json.loads(await self.state.get(KEY) or "[]")]
        for draft in [each for each in self._drafts if each.answer is None]:
            try:
                await self._remove(draft)
            except Exception as error:  # noqa: BLE001 -- the text stays, which is no harm
                _log.warning("matrix.draft_left", room=draft.room_id, reason=repr(error)[:300])
                await self._forget(draft)

    async def show(self, address: Address, text: str) -> None:
        """Show the text so far. An empty one removes the draft."""
        draft = self._find(address)
        if not text:
            if draft is not None:
                await self._remove(draft)
            return
        if draft is None:
            draft = Draft(address.platform_id, address.thread_id, f"draft.{self.random.getrandbits(64):x}")
            await self._store([*self._drafts, draft][-MOST:])
        now = trio.current_time()
        if now < self._next_at.get(draft.key, 0.0):
            return
        self._next_at[draft.key] = now + EVERY_S
        try:
            await self._show(draft, text)
        except ChannelUnavailable as error:
            self._next_at[draft.key] = now + (error.retry_after or EVERY_S)
            raise

    async def _show(self, draft: Draft, text: str) -> None:
        if draft.event_id is None:
            await self._sent(draft, text)
            return
        self._edits += 1
        content = edit(shown(text), draft.event_id)
        await self.server.send(draft.room_id, MESSAGE, content, f"{draft.key}.{self._edits}")

    async def _sent(self, draft: Draft, text: str) -> Draft:
        """Return a draft whose message is known. It is sent again, with its key, if that is not known."""
        if draft.event_id is not None:
            return draft
        content = placed(shown(text), draft.thread, None)
        event_id = await self.server.send(draft.room_id, MESSAGE, content, draft.key)
        return self._replace(draft, evolve(draft, event_id=event_id))

    async def take(self, address: Address, message_out_id: str) -> str | None:
        """Return the id of the draft that this answer replaces, if there is one. Call `done` afterwards."""
        draft = self._find(address, message_out_id)
        if draft is None:
            return None
        draft = await self._sent(draft, "…")
        if draft.answer is None:
            self._replace(draft, evolve(draft, answer=message_out_id))
            await self._store(self._drafts)
        return draft.event_id

    async def done(self, address: Address, message_out_id: str) -> None:
        """Forget the draft that an answer has replaced."""
        draft = self._find(address, message_out_id)
        if draft is not None:
            await self._forget(draft)

    def _find(self, address: Address, answer: str | None = None) -> Draft | None:
        place = (address.platform_id, address.thread_id)
        of_chat = [each for each in self._drafts if (each.room_id, each.thread) == place]
        return next((each for each in of_chat if each.answer in {None, answer}), None)

    async def _remove(self, draft: Draft) -> None:
        draft = await self._sent(draft, "…")
        await self.server.redact(draft.room_id, draft.event_id or "", f"{draft.key}.end")
        await self._forget(draft)

    async def _forget(self, draft: Draft) -> None:
        self._next_at.pop(draft.key, None)
        await self._store([each for each in self._drafts if each.key != draft.key])

    def _replace(self, draft: Draft, changed: Draft) -> Draft:
        self._drafts = [changed if each.key == draft.key else each for each in self._drafts]
        return changed

    async def _store(self, drafts: list[Draft]) -> None:
        self._drafts = drafts
        rows: list[dict[str, Any]] = [asdict(each) for each in drafts]
        await self.state.set(KEY, json.dumps(rows))
