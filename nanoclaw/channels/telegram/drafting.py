"""Drafts: the words of an answer while the agent writes it.

In a direct chat Telegram shows drafts itself: they are no messages, and end with the answer. In groups a
message shows them, which is edited; the answer takes its place. The state keeps the ids of such messages, so
that the next start removes those that a crash left behind.
"""

import json
from collections.abc import Callable
from functools import partial
from itertools import count

import structlog
import trio
from attrs import Factory, define, field
from telegram.error import BadRequest, InvalidToken, RetryAfter, TelegramError

from nanoclaw.channels.state import ChannelState, StateError
from nanoclaw.channels.telegram.connection import Connection
from nanoclaw.channels.telegram.dialect import tail
from nanoclaw.channels.telegram.faults import seconds
from nanoclaw.records import Address

DIRECT_PAUSE_S = 0.5
"""Seconds between two drafts in a direct chat."""
GROUP_PAUSE_S = 3.0
"""Seconds between two edits of a group's draft: Telegram allows 20 messages and edits a minute in a group."""
LONGEST_DRAFT = 4000
DRAFT_S = 5.0
"""Time limit in seconds of showing a draft. The answer may wait for it."""
KEY = "drafts"
KEPT_S = 47 * 3600.0
"""Seconds after which Telegram lets nobody delete a message any more, less an hour."""

_log = structlog.get_logger()


@define(eq=False)
class Draft:
    """The draft of one address."""

    address: Address
    newest: str = ""
    shown: str = ""
    number: int = 0
    message_id: int | None = None
    """The message that shows it in a group."""
    ended: bool = False
    running: bool = False
    lock: trio.Lock = Factory(trio.Lock)


@define(eq=False)
class Drafts:
    """Shows the newest draft of each address, as often as Telegram allows, and skips those before it."""

    connection: Connection
    state: ChannelState
    nursery: trio.Nursery
    pauses_s: tuple[float, float] = (DIRECT_PAUSE_S, GROUP_PAUSE_S)
    _drafts: dict[Address, Draft] = Factory(dict)
    _kept: dict[str, int] = Factory(dict)
    _numbers: Callable[[], int] = field(factory=lambda: partial(next, count(1)))
    _natively: bool = True

    def show(self, address: Address, text: str) -> None:
        """Show a draft soon."""
        draft = self._drafts.setdefault(address, Draft(address, number=self._numbers()))
        draft.newest = text
        if not draft.running:
            draft.running = True
            self.nursery.start_soon(self._run, draft)

    async def take(self, address: Address) -> int | None:
        """End the draft of an address. Return the id of the message that shows it, if there is one."""
        draft = self._drafts.pop(address, None)
        if draft is None:
            return None
        draft.ended = True
        async with draft.lock:
            return draft.message_id

    def restore(self, address: Address, message_id: int) -> None:
        """Take a message as the draft of an address again."""
        self._drafts[address] = Draft(address, message_id=message_id)

    async def remove(self, address: Address) -> None:
        """End and remove a draft."""
        message_id = await self.take(address)
        if message_id is not None:
            await self.delete(address.platform_id, message_id)

    async def delete(self, platform_id: str, message_id: int) -> None:
        """Delete the message of a draft. If that fails, it stays."""
        try:
            await self.connection.bot.delete_message(self.connection.moves.chat(platform_id), message_id)
        except TelegramError as error:
            _log.info("telegram.draft_left", chat=platform_id, reason=error.message)
        await self.forget(platform_id, message_id)

    async def forget(self, platform_id: str, message_id: int) -> None:
        """Take a message as no draft any more."""
        if self._kept.pop(f"{platform_id}/{message_id}", None) is not None:
            await self._keep()

    async def remove_old(self) -> None:
        """Delete the messages of drafts that an earlier process left behind."""
        try:
            found: dict[str, int] = json.loads(await self.state.get(KEY) or "{}")
        except (StateError, ValueError) as error:
            _log.warning("telegram.state_failed", reason=str(error))
            return
        self._kept = dict(found)
        for key, message_id in found.items():
            await self.delete(key.rpartition("/")[0], message_id)

    async def _keep(self) -> None:
        try:
            await self.state.set(KEY, json.dumps(self._kept), ttl_s=KEPT_S)
        except StateError as error:
            _log.warning("telegram.state_failed", reason=str(error))

    async def _run(self, draft: Draft) -> None:
        """Show the newest text until it is shown, or the draft ends."""
        pause_s = self.pauses_s[0 if self._is_direct(draft) else 1]
        try:
            while not draft.ended and draft.newest != draft.shown:
                async with draft.lock:
                    wait_s = await self._try(draft)
                await trio.sleep(max(wait_s, pause_s))
        finally:
            draft.running = False

    async def _try(self, draft: Draft) -> float:
        """Show the newest text once. Return how long Telegram asks to wait. Other failures lose the draft."""
        if draft.ended:
            return 0.0
        text, draft.shown = draft.newest, draft.newest
        try:
            await self._show(draft, text)
        except RetryAfter as error:
            return seconds(error)
        except TelegramError as error:
            _log.debug("telegram.draft_lost", reason=error.message)
        return 0.0

    async def _show(self, draft: Draft, text: str) -> None:
        chat = self.connection.moves.chat(draft.address.platform_id)
        said, entities = tail(text, LONGEST_DRAFT)
        thread = int(draft.address.thread_id) if draft.address.thread_id else None
        if self._is_direct(draft) and isinstance(chat, int):
            try:
                await self.connection.bot.send_message_draft(
                    chat, draft.number, said, thread, entities=entities, read_timeout=DRAFT_S
                )
            except (BadRequest, InvalidToken):  # a server of an older Bot API
                self._natively = False
            return
        if draft.message_id is None:
            shown = await self.connection.bot.send_message(
                chat,
                said,
                entities=entities,
                message_thread_id=thread,
                disable_notification=True,
                read_timeout=DRAFT_S,
            )
            draft.message_id = shown.message_id
            self._kept[f"{draft.address.platform_id}/{shown.message_id}"] = shown.message_id
            await self._keep()
        else:
            await self.connection.bot.edit_message_text(
                said, chat, draft.message_id, entities=entities, read_timeout=DRAFT_S
            )

    def _is_direct(self, draft: Draft) -> bool:
        return self._natively and not draft.address.platform_id.startswith("-")
