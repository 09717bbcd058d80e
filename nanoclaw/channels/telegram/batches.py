"""Offers updates to the host: those of one chat in order, those of several chats at the same time."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import structlog
import trio
from attrs import Factory, define, frozen
from telegram.error import TelegramError

from nanoclaw.channels.telegram.connection import Connection
from nanoclaw.channels.telegram.fetching import Fetcher
from nanoclaw.channels.telegram.keyboards import Keyboards
from nanoclaw.channels.telegram.receiving import (
    BadUpdate,
    Heard,
    Moved,
    Pressed,
    Read,
    Reader,
    Standing,
    in_one,
    update_id,
)
from nanoclaw.channels.telegram.versions import Versions
from nanoclaw.records import BadEvent, Clicked, Event, Intake, NotAccepted, Routed
from nanoclaw.system.clock import Clock

MOST_CHATS = 50
"""Chats whose updates are offered at the same time."""
ALBUM_OPEN_S = 10.0
"""Seconds after which no further file of an album is waited for."""
LONGEST_NOTICE = 200
"""Characters of the sentence that Telegram shows after a press."""
GONE = frozenset({"left", "kicked"})

_log = structlog.get_logger()


@frozen
class Item:
    """A part of an update."""

    update: int
    read: Read


@define(eq=False)
class Batches:
    """Offers batches of updates. It remembers those that are accepted and not yet confirmed."""

    connection: Connection
    reader: Reader
    fetcher: Fetcher
    keyboards: Keyboards
    clock: Clock
    intake: Intake
    versions: Versions = Factory(Versions)
    _accepted: set[int] = Factory(set)

    async def accept(self, items: Sequence[Item], later: Collection[int] = ()) -> int | None:
        """Offer updates, except those that come later.

        Returns:
            The id of the first update that the host did not accept, or None.
        """
        chats = dict[str, list[Item]]()
        for item in items:
            if item.update not in later and item.update not in self._accepted:
                chats.setdefault(_chat(item.read), []).append(item)
        refused, limiter = list[int](), trio.CapacityLimiter(MOST_CHATS)
        async with trio.open_nursery() as nursery:
            for found in chats.values():
                nursery.start_soon(self._chat, found, limiter, refused)
        return min(refused, default=None)

    def forget(self, offset: int) -> None:
        """Forget the updates before an offset: Telegram does not offer them again."""
        self._accepted = {one for one in self._accepted if one >= offset}

    def open_album(self, items: Sequence[Item]) -> Sequence[int]:
        """Return the updates of albums of which more files may come."""
        last = {_chat(item.read): item for item in items}
        albums = {(chat, _album(item.read)) for chat, item in last.items() if self._is_fresh(item.read)}
        return [
            item.update
            for item in items
            if _album(item.read) and (_chat(item.read), _album(item.read)) in albums
        ]

    def _is_fresh(self, read: Read) -> bool:
        if not isinstance(read, Heard) or read.sent_at is None:
            return False
        age = self.clock.now() - datetime.fromtimestamp(read.sent_at, UTC)
        return abs(age.total_seconds()) < ALBUM_OPEN_S

    def read(self, updates: Sequence[object]) -> Sequence[Item]:
        """Read updates. Those that cannot be read are logged and skipped."""
        items = list[Item]()
        for raw in updates:
            try:
                for read in self.reader.read(raw):
                    items.append(Item(update_id(raw), read))
                    if isinstance(read, Moved):  # later updates of the batch have the new id
                        self.connection.moves.learn(read.old, read.new)
            except BadUpdate as error:
                _log.warning("telegram.update_skipped", reason=str(error)[:500])
        return items

    async def _chat(self, items: Sequence[Item], limiter: trio.CapacityLimiter, refused: list[int]) -> None:
        """Offer the updates of one chat in order, up to the first that is not accepted."""
        async with limiter:
            for group in _albums(items):
                try:
                    await self._offer(in_one_or_first(group))
                except NotAccepted as error:
                    _log.warning("telegram.not_accepted", update=group[0].update, reason=str(error))
                    refused.append(group[0].update)
                    self._accepted.discard(group[0].update)
                    return
                except BadEvent as error:
                    _log.warning("telegram.update_skipped", update=group[0].update, reason=str(error)[:500])
                self._accepted.update(item.update for item in group)

    async def _offer(self, read: Read) -> None:
        match read:
            case Heard():
                await self._offer_heard(read)
            case Pressed():
                await self._offer_press(read)
            case Moved(old, new):
                await self.connection.moves.note(old, new)
            case Standing():
                log = _log.warning if read.status in GONE else _log.info
                log("telegram.standing", chat=read.address.platform_id, status=read.status, by=read.by)
            case _:
                await self.intake.offer(read)

    async def _offer_heard(self, heard: Heard) -> None:
        if not self.versions.is_new(heard):
            return
        async with self.fetcher.fetched(heard) as found:
            await self.intake.offer(found.event)
        self.versions.note(heard)

    async def _offer_press(self, press: Pressed) -> None:
        chosen = await self.keyboards.chosen(press.data)
        routed = Routed(dropped="This question is no longer open.")
        if chosen is not None:
            click: Event = Clicked(press.address, press.press_id, *chosen, press.user_id)
            routed = await self.intake.offer(click)
        try:
            await self.connection.bot.answer_callback_query(
                press.press_id, (routed.dropped or "")[:LONGEST_NOTICE] or None
            )
        except TelegramError as error:  # it is too late, or the user is shown a spinner for some seconds
            _log.debug("telegram.press_not_answered", reason=str(error))


def _chat(read: Read) -> str:
    match read:
        case Heard():
            return read.event.address.platform_id
        case Moved():
            return read.old
        case _:
            return read.address.platform_id


def _album(read: Read) -> str | None:
    return read.album if isinstance(read, Heard) else None


def _albums(items: Sequence[Item]) -> Sequence[Sequence[Item]]:
    """Return the updates of a chat, with those of an album together, in the place of the first."""
    groups = dict[object, list[Item]]()
    for item in items:
        album = _album(item.read)
        groups.setdefault(album or (item.update, len(groups)), []).append(item)
    return list(groups.values())


def in_one_or_first(group: Sequence[Item]) -> Read:
    """Return what a group of updates tells: an album as one message."""
    heard = [item.read for item in group if isinstance(item.read, Heard)]
    return in_one(heard) if len(heard) > 1 else group[0].read
