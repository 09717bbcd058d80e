"""The draft file (contract 1): the text so far of the answer that the open turn is writing.

The host shows it to whoever waits. It is only a hint: it is never synced, and a lost write is not repeated.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio
from attrs import define, field

from agent_runner.background import background
from agent_runner.config import RunnerConfig
from agent_runner.records import Address, Turn
from agent_runner.seams import Seams

FIRST_AFTER = 0.005
"""Seconds before a changed draft is written. An answer that is complete by then needs no draft."""
INTERVAL = 0.05
"""Shortest time in seconds between two writes."""
MAX_CHARACTERS = 10_000
"""The end of a longer text is written, since readers follow the newest words. So a file has under 64 KiB."""


@define(eq=False)
class Drafts:
    """Writes the newest draft of the open turn, in one task of the runner."""

    _file: Path
    _seams: Seams
    _turn: Turn | None = field(default=None, init=False)
    """The open turn, if its answer has an address."""
    _newest: str = field(default="", init=False)
    _written: str = field(default="", init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _failed: bool = field(default=False, init=False)
    """True once a write has failed. That is logged once."""

    def begin(self, turn: Turn) -> None:
        """Take drafts of this turn from now on."""
        self._turn, self._newest, self._written = turn, "", ""

    def show(self, turn: Turn, text: str) -> None:
        """Take the text so far. It is written soon, unless a newer one replaces it."""
        if turn is self._turn:
            self._newest = text
            self._changed.set()

    def end(self) -> None:
        """Remove the draft, and take no more. The outcome of the turn must be on disk."""
        self._turn = None
        if self._written:
            self.remove()

    def remove(self) -> None:
        """Remove the draft of a turn that is over."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    async def run(self) -> None:
        """Write each change, at most every `INTERVAL`, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            await trio.sleep(FIRST_AFTER)
            if self._turn is not None and self._newest != self._written:
                self._write(self._turn, self._newest)
                await trio.sleep(INTERVAL - FIRST_AFTER)

    def _write(self, turn: Turn, text: str) -> None:
        if turn.home is None:
            return
        self._written = text
        try:
            self._seams.replace(self._file, _content(turn.turn_id, turn.home, text))
        except OSError as error:
            if not self._failed:
                self._seams.log("draft.not_written", level="warning", reason=str(error))
            self._failed = True


def _content(turn_id: str, address: Address, text: str) -> bytes:
    shown = text if len(text) <= MAX_CHARACTERS else f"…{text[-MAX_CHARACTERS:]}"
    where = {
        "channel_type": address.channel_type,
        "platform_id": address.platform_id,
        "thread_id": address.thread_id,
    }
    draft = {"turn": turn_id, "address": where, "text": shown}
    return json.dumps(draft, ensure_ascii=False).encode("utf-8", "replace")


@asynccontextmanager
async def open_drafts(config: RunnerConfig, seams: Seams) -> AsyncGenerator[Drafts]:
    """Remove the draft of an earlier runner, and start the task."""
    drafts = Drafts(config.draft, seams)
    drafts.remove()
    async with background(drafts.run):
        yield drafts
