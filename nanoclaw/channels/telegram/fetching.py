"""Fetches the files of messages to disk. The host copies them when the event is offered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from secrets import token_hex
from shutil import rmtree

import structlog
import trio
from attrs import evolve, frozen
from telegram.error import TelegramError

from nanoclaw.channels.telegram.connection import Connection
from nanoclaw.channels.telegram.receiving import Heard, RemoteFile
from nanoclaw.records import Attachment

LARGEST_FILE = 20_000_000
"""Limit of a file in bytes that Telegram lets bots fetch."""
FETCH_S = 120.0
"""Time limit of one file in seconds."""
ATTEMPTS = 3
AGAIN_S = 1.0

_log = structlog.get_logger()


class NotFetched(Exception):
    """A file could not be fetched. The text says why, for the agent."""


@frozen
class Fetcher:
    """Fetches files to a folder of the channel."""

    connection: Connection
    folder: Path

    @asynccontextmanager
    async def fetched(self, heard: Heard) -> AsyncIterator[Heard]:
        """Yield a message with its files on disk while the block runs.

        In place of a file that could not be fetched the message says why.
        """
        paths = list[Path]()
        try:
            yield await self._with_files(heard, paths)
        finally:
            for path in paths:
                with suppress(OSError):
                    path.unlink()

    async def _with_files(self, heard: Heard, paths: list[Path]) -> Heard:
        found, lines = list[Attachment](), list[str]()
        for file in heard.files:
            path = self.folder / token_hex(16)
            paths.append(path)
            try:
                await self._fetch(file, path)
                found.append(Attachment(file.kind, file.name, path=path))
            except NotFetched as error:
                _log.warning("telegram.file_lost", chat=heard.event.address.platform_id, reason=str(error))
                lines.append(f"[the file {file.name!r} is missing: {error}]")
        said = heard.event.message
        text = "\n".join(filter(None, [said.text, *lines]))
        return evolve(
            heard, event=evolve(heard.event, message=evolve(said, text=text, attachments=tuple(found)))
        )

    async def _fetch(self, file: RemoteFile, path: Path) -> None:
        if file.size is not None and file.size > LARGEST_FILE:
            raise NotFetched(
                f"it has {file.size / 1e6:.0f} MB, and Telegram gives bots "
                f"at most {LARGEST_FILE // 1_000_000} MB"
            )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with trio.fail_after(FETCH_S):
                    return await self._write(file, path)
            except (TelegramError, trio.TooSlowError, OSError) as error:
                if attempt == ATTEMPTS:
                    raise NotFetched(f"it could not be fetched from Telegram: {error}") from error
            await trio.sleep(AGAIN_S * attempt)
        return None

    async def _write(self, file: RemoteFile, path: Path) -> None:
        size = 0
        async with self.connection.download(file.id) as chunks, await trio.open_file(path, "wb") as opened:
            async for chunk in chunks:
                size += len(chunk)
                if size > LARGEST_FILE:
                    raise NotFetched("it is larger than Telegram said")
                await opened.write(chunk)


async def empty_folder(folder: Path) -> None:
    """Make the folder, without files that a process left behind that died."""

    def empty() -> None:
        rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    await trio.to_thread.run_sync(empty)
