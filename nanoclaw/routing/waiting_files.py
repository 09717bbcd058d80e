"""Keeps the files of events that wait: an event's channel removes its own once the event is accepted."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import structlog
import trio
from attrs import Factory, define, evolve

from nanoclaw.records import Answer, Attachment, InboundEvent
from nanoclaw.records.content import Parkable
from nanoclaw.store import Executor, Reader, StoreError
from nanoclaw.store.session import media
from nanoclaw.store.session.attached_files import LostFile, with_lost_files

E = TypeVar("E", bound=Parkable)

SWEEP_S = 300.0
"""Seconds between two looks for files whose events wait no more. While no event has files, there is none."""

_log = structlog.get_logger()


@define(eq=False)
class WaitingFiles:
    """Copies the files of events before they are parked or held, and removes them after."""

    _data: Path
    _executor: Executor
    _central: Reader
    _copying: Counter[str] = Factory(Counter)
    """The events whose rows are being written."""
    _some: trio.Event = Factory(trio.Event)

    def size(self, event: Parkable) -> int:
        """Return the bytes of an event's files, without base64."""
        return media.size_of(self._data, _attachments(event))

    @asynccontextmanager
    async def kept(self, event: E) -> AsyncIterator[E]:
        """Yield the event with files that last as long as a row names them. Commit the row in the block.

        Raises:
            StoreError: the files cannot be copied now.
        """
        if not any(each.path for each in _attachments(event)):
            yield event
            return
        self._copying[event.message_id] += 1
        try:
            keep = partial(media.keep, self._data, event.message_id, _attachments(event))
            kept, lost = await self._executor.run(keep)
            for each in lost:
                _log.warning(
                    "routing.file_lost", message=event.message_id, file=each.name, reason=each.reason
                )
            yield _with(event, kept, lost)
        finally:
            self._copying[event.message_id] -= 1
            self._some.set()

    async def run(self) -> None:
        """Remove the files of events that wait no more, until cancelled."""
        while True:
            self._some = trio.Event()
            try:
                left = await self._sweep()
            except StoreError as error:
                _log.warning("routing.files_not_removed", reason=str(error), retry_s=SWEEP_S)
                left = True
            if left:
                await trio.sleep(SWEEP_S)
            else:
                await self._some.wait()

    async def _sweep(self) -> bool:
        """Remove what no row names. Return whether something is left."""
        there = await self._executor.run(partial(media.waiting_folders, self._data), lane="read")
        # A row that is not committed yet may name them.
        settled = [name for name in there if not self._copying[name.rpartition(".")[0]]]
        self._copying = +self._copying
        over = await self._central.run(media.without_row, settled) if settled else []
        if over:
            await self._executor.run(partial(media.forget, self._data, over))
        return len(over) < len(there)


def _attachments(event: Parkable) -> tuple[Attachment, ...]:
    match event:
        case Answer(said=InboundEvent() as said):
            return said.message.attachments
        case InboundEvent(message=message):
            return message.attachments
        case _:  # the chat library's form has its files as base64
            return ()


def _with(event: E, files: tuple[Attachment, ...], lost: Sequence[LostFile]) -> E:
    """Return the event with other files, and a line of its text for each that is lost."""
    if isinstance(event, Answer) and event.said is not None:
        return cast("E", evolve(event, said=_with(event.said, files, lost)))
    if not isinstance(event, InboundEvent):
        return event
    text = with_lost_files(event.message.text, lost) if lost else event.message.text
    return cast("E", evolve(event, message=evolve(event.message, attachments=files, text=text)))
