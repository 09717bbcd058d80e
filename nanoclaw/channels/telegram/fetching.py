"""Fetches the files of messages to disk. The host copies them when the event is offered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import trio
from attrs import evolve, frozen
from telegram.error import TelegramError

from nanoclaw.channels.media import Files, Media
from nanoclaw.channels.telegram.connection import Connection
from nanoclaw.channels.telegram.receiving import Heard, RemoteFile
from nanoclaw.records import NotAccepted

LARGEST_FILE = 20_000_000
"""Limit of a file in bytes that Telegram lets bots fetch."""
FETCH_S = 120.0
"""Time limit of one file in seconds."""
ATTEMPTS = 3
AGAIN_S = 1.0

_log = structlog.get_logger()


@frozen
class Fetcher:
    """Fetches files to a folder of the channel."""

    connection: Connection
    media: Media

    @asynccontextmanager
    async def fetched(self, heard: Heard) -> AsyncIterator[Heard]:
        """Yield a message with its files on disk while the block runs.

        In place of a file that could not be fetched the message says why.

        Raises:
            NotAccepted: the disk is full, or fails.
        """
        async with self.media.files() as files:
            for file in heard.files:
                try:
                    await self._fetch(files, file)
                except OSError as error:
                    raise NotAccepted(f"the file {file.name!r} cannot be stored: {error}") from error
            said = heard.event.message
            said = evolve(said, text=files.text(said.text), attachments=files.attachments)
            yield evolve(heard, event=evolve(heard.event, message=said))

    async def _fetch(self, files: Files, file: RemoteFile) -> None:
        """Fetch a file. Repeat that if the connection is lost."""
        if file.size is not None and file.size > LARGEST_FILE:
            size, most = file.size / 1e6, LARGEST_FILE // 1_000_000
            files.lost(file.name, f"it has {size:.0f} MB, and Telegram gives bots at most {most} MB")
            return
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with trio.fail_after(FETCH_S):
                    async with self.connection.download(file.id) as chunks:
                        await files.add(file.kind, file.name, chunks, file.size)
            except (TelegramError, trio.TooSlowError) as error:
                reason = str(error) or "Telegram was too slow"
                _log.info("telegram.file_not_fetched", file=file.name, attempt=attempt, reason=reason)
            else:
                return
            await trio.sleep(AGAIN_S * attempt)
        files.lost(file.name, "it could not be fetched from Telegram")
