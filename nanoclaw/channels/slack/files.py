"""Files of Slack, streamed from and to disk."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import trio
from attrs import frozen

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.slack.connection import SlackConnection
from nanoclaw.channels.slack.receiving import SlackFile
from nanoclaw.records import Address, OutgoingFile

CHUNK = 1 << 20
"""Bytes that are in memory at a time."""
TRANSFER_S = 300.0
"""Time limit of one file in seconds."""
LARGEST = 50 * 1024 * 1024
"""Limit of a file that is fetched, in bytes."""


class NotFetched(Exception):
    """A file of a message cannot be fetched. The text says why."""


async def upload(connection: SlackConnection, address: Address, files: Sequence[OutgoingFile]) -> None:
    """Show files in a chat as one message.

    Raises:
        ChannelUnavailable, SlackRefused: nothing is shown.
        SlackBroke: the outcome is unknown.
    """
    async with httpx2.AsyncClient(timeout=30.0, trust_env=False, follow_redirects=False) as client:
        shown = [await _upload(connection, client, file) for file in files]
    thread = {"thread_ts": address.thread_id} if address.thread_id else {}
    await connection.call(
        "files.completeUploadExternal", files=shown, channel_id=address.platform_id, **thread
    )


async def _upload(
    connection: SlackConnection, client: httpx2.AsyncClient, file: OutgoingFile
) -> dict[str, str]:
    """Upload a file. Nobody sees it before it is completed, so a failure has shown nothing."""
    place = await connection.read("files.getUploadURLExternal", filename=file.name, length=file.size)
    try:
        with trio.fail_after(TRANSFER_S):
            answer = await client.post(
                str(place.get("upload_url")),
                content=_chunks(file.path),
                headers={"content-type": "application/octet-stream", "content-length": str(file.size)},
            )
    except (httpx2.HTTPError, trio.TooSlowError, OSError) as error:
        raise ChannelUnavailable(f"the file {file.name!r:.100} was not uploaded: {error!r:.200}") from error
    if not answer.is_success:
        raise ChannelUnavailable(f"Slack took the file {file.name!r:.100} with status {answer.status_code}")
    return {"id": str(place.get("file_id")), "title": file.name}


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    async with await trio.open_file(path, "rb") as file:
        while chunk := await file.read(CHUNK):
            yield chunk


@frozen
class Downloads:
    """Fetches the files of messages with the bot's token."""

    folder: Path
    api_base: str
    token: str

    async def fetch(self, file: SlackFile) -> Path:
        """Fetch a file. The caller removes it.

        Raises:
            NotFetched: it is too large, is not on Slack's servers, or Slack does not give it.
        """
        if file.size > LARGEST:
            raise NotFetched(f"it is larger than {LARGEST >> 20} MiB")
        if not self._of_slack(file.url):
            raise NotFetched("it is not on a server of Slack")
        await trio.to_thread.run_sync(lambda: self.folder.mkdir(parents=True, exist_ok=True, mode=0o700))
        target = self.folder / f"{file.id or 'file'}-{trio.current_time():.6f}"
        try:
            with trio.fail_after(TRANSFER_S):
                await self._stream(file, target)
        except BaseException as error:
            target.unlink(missing_ok=True)
            if isinstance(error, httpx2.HTTPError | trio.TooSlowError | OSError):
                raise NotFetched(f"{type(error).__name__}: {error}"[:200]) from error
            raise
        return target

    async def _stream(self, file: SlackFile, target: Path) -> None:
        headers = {"authorization": f"Bearer {self.token}"}
        async with (
            httpx2.AsyncClient(timeout=30.0, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", file.url, headers=headers) as answer,
            await trio.open_file(target, "xb") as written,
        ):
            kind = answer.headers.get("content-type", "")
            if not answer.is_success or (kind.startswith("text/html") and "html" not in file.mimetype):
                raise NotFetched(
                    f"Slack answers with status {answer.status_code}; is the scope files:read missing?"
                )
            size = 0
            async for chunk in answer.aiter_bytes(CHUNK):
                size += len(chunk)
                if size > LARGEST:
                    raise NotFetched(f"it is larger than {LARGEST >> 20} MiB")
                await written.write(chunk)

    def _of_slack(self, url: str) -> bool:
        """Return True for an address that may get the token: one of Slack, or of the configured server."""
        try:
            parts, own = urlsplit(url), urlsplit(self.api_base)
        except ValueError:
            return False
        host = parts.hostname or ""
        slack = parts.scheme == "https" and (host == "slack.com" or host.endswith(".slack.com"))
        return slack or (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
