"""Files of users on their way from a network to the host: streamed to disk, bounded, removed after the offer.

    async with self.media.files() as files:
        for each in message.files:
            await files.fetch("image", each.name, each.url, size=each.size)
        await intake.offer(event_with(files.text(message.text), files.attachments))

A file that is too large, or cannot be fetched, costs only itself: the message goes in with a line about it.
"""

import os
from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from secrets import token_hex
from shutil import rmtree

import trio
from attrs import Factory, define, field

from nanoclaw.channels.fetching import NotFetched, fetched
from nanoclaw.gateway.web.internet import Internet
from nanoclaw.records import Attachment
from nanoclaw.records.files import MAX_BYTES, MAX_FILES


@define(eq=False)
class Media:
    """The folder of a channel's files. Make one for each channel, in `make`, not for each connection."""

    folder: Path
    """Such as `context.folder / "media"`. It is made when it is needed."""
    limit: int = MAX_BYTES
    """Limit in bytes for the files of one message together."""
    _cleaned: bool = False

    async def clean(self) -> None:
        """Remove what an earlier process left behind. Call it when the channel connects."""
        if not self._cleaned:
            self._cleaned = True
            await trio.to_thread.run_sync(partial(rmtree, self.folder, ignore_errors=True))

    @asynccontextmanager
    async def files(self) -> AsyncIterator["Files"]:
        """Yield the files of one message. The exit removes them, so offer the message in the block."""
        files = Files(self.folder, self.limit)
        try:
            yield files
        finally:
            for path in files.paths:
                with suppress(OSError):
                    path.unlink()


@define(eq=False)
class Files:
    """The files of one message, as far as they were fetched."""

    _folder: Path
    _left: int
    paths: list[Path] = field(factory=list, init=False)
    _found: list[Attachment] = Factory(list)
    _lines: list[str] = Factory(list)
    _numbers: "count[int]" = Factory(count)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files that are on disk, in their order."""
        return tuple(self._found)

    def text(self, text: str) -> str:
        """Return the message's text with a line for each file that is missing."""
        return "\n".join(filter(None, [text, *self._lines]))

    async def add(
        self, type_: str, name: str, chunks: AsyncIterable[bytes], size: int | None = None
    ) -> Attachment | None:
        """Write a file to disk. Return None if it is too large, or cannot be fetched.

        `size` is the number of bytes that the network announces: nothing is fetched if it is too large.

        Raises:
            OSError: the disk is full or fails.
        Errors of the network pass through: catch them, and call `lost`, or fetch the message again.
        """
        try:
            path = await self._written(chunks, size)
        except NotFetched as error:
            self.lost(name, str(error))
            return None
        found = Attachment(type_[:1000], name[:1000] or "file", path=path)
        self._found.append(found)
        return found

    async def fetch(  # noqa: PLR0913 -- the file, and how to get it
        self,
        type_: str,
        name: str,
        url: str,
        *,
        size: int | None = None,
        headers: Mapping[str, str] | None = None,
        trusted: Collection[str] = (),
        internet: Internet | None = None,
    ) -> Attachment | None:
        """Fetch a file from an address. Return None if it cannot be had. See `fetching.fetched`.

        Raises:
            OSError: the disk is full or fails.
        """
        try:
            async with fetched(url, headers=headers, trusted=trusted, internet=internet) as chunks:
                return await self.add(type_, name, chunks, size)
        except NotFetched as error:
            self.lost(name, str(error))
            return None

    def lost(self, name: str, reason: str) -> None:
        """Note that a file is missing, and why."""
        self._lines.append(f"[The file {name!r:.140} of this message is lost: {reason:.200}.]")

    async def _written(self, chunks: AsyncIterable[bytes], announced: int | None) -> Path:
        too_large = NotFetched(f"the files of a message have at most {self._left_in_words()}")
        if len(self._found) >= MAX_FILES:
            raise NotFetched(f"a message has at most {MAX_FILES} files")
        if announced is not None and announced > self._left:
            raise too_large
        await trio.to_thread.run_sync(partial(self._folder.mkdir, 0o700, parents=True, exist_ok=True))
        path = self._folder / f"{token_hex(8)}-{next(self._numbers)}"
        self.paths.append(path)
        left = self._left
        async with await trio.open_file(path, "xb", opener=_private) as file:
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    raise too_large
                await file.write(chunk)
        self._left = left
        return path

    def _left_in_words(self) -> str:
        return f"{self._left / (1 << 20):.0f} MiB together; of those {len(self._found)} are here"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
