"""Fetches the files of messages to disk, from Discord's own servers only."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import structlog
import trio
from attrs import Factory, define

from nanoclaw.channels.discord.receiving import attachment
from nanoclaw.channels.discord.wire import File
from nanoclaw.records import Attachment

HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
LARGEST = 50 << 20
"""Limit of a file in bytes."""
TRANSFER_S = 120.0
"""Time limit of one file in seconds."""
MOST_FILES = 10
"""Files of a message that are fetched. Discord allows no more."""

_log = structlog.get_logger()


class NotFetched(Exception):
    """A file of a message cannot be fetched. The text says why."""


@define(eq=False)
class Downloads:
    """Fetches files into a folder of the channel. It is emptied when the channel connects."""

    folder: Path
    api_base: str
    _numbers: "count[int]" = Factory(count)

    async def clear(self) -> None:
        """Remove what a crash left behind."""
        await trio.to_thread.run_sync(self._clear)

    def _clear(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.folder.iterdir():
            with suppress(OSError):
                left.unlink()

    async def fetch(self, files: Sequence[File]) -> tuple[Attachment, ...]:
        """Return the files of a message. One that cannot be fetched has no content, and the log says why."""
        return tuple([await self._attachment(each) for each in files[:MOST_FILES]])

    async def _attachment(self, file: File) -> Attachment:
        try:
            path = await self._fetch(file)
        except NotFetched as error:
            _log.warning("discord.file_not_fetched", name=file.filename[:100], reason=str(error))
            return attachment(file.filename, file.content_type, url=file.url)
        return attachment(file.filename, file.content_type, path=path)

    def remove(self, files: Sequence[Attachment]) -> None:
        """Remove files from disk, after the host has copied them."""
        for each in files:
            if each.path is not None:
                with suppress(OSError):
                    each.path.unlink(missing_ok=True)

    async def _fetch(self, file: File) -> Path:
        if file.size > LARGEST:
            raise NotFetched(f"it is larger than {LARGEST >> 20} MiB")
        if not self._is_own(file.url):
            raise NotFetched("it is not on a server of Discord")
        target = self.folder / f"{next(self._numbers)}"
        try:
            with trio.fail_after(TRANSFER_S):
                await _stream(file.url, target)
        except BaseException as error:
            target.unlink(missing_ok=True)
            if isinstance(error, httpx2.HTTPError | trio.TooSlowError | OSError):
                raise NotFetched(f"{type(error).__name__}: {error}"[:200]) from error
            raise
        return target

    def _is_own(self, url: str) -> bool:
        """Return True for an address of Discord's files, or of the configured server."""
        try:
            there, own = urlsplit(url), urlsplit(self.api_base)
            known = there.scheme == "https" and there.port in {None, 443} and there.hostname in HOSTS
            return known or (there.scheme, there.hostname, there.port) == (own.scheme, own.hostname, own.port)
        except ValueError:
            return False


async def _stream(url: str, target: Path) -> None:
    async with (
        httpx2.AsyncClient(timeout=30.0, trust_env=False, follow_redirects=False) as client,
        client.stream("GET", url) as answer,
        await trio.open_file(target, "xb") as written,
    ):
        if not answer.is_success:
            raise NotFetched(f"Discord answers with status {answer.status_code}")
        size = 0
        async for chunk in answer.aiter_bytes():
            size += len(chunk)
            if size > LARGEST:
                raise NotFetched(f"it is larger than {LARGEST >> 20} MiB")
            await written.write(chunk)
