"""Files of Slack, streamed from and to disk."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import trio

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.slack.connection import SlackConnection
from nanoclaw.records import Address, OutgoingFile

CHUNK = 1 << 20
"""Bytes that are in memory at a time."""
TRANSFER_S = 300.0
"""Time limit of one file in seconds."""


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


def takes_token(url: str, api_base: str) -> bool:
    """Return True for an address that may get the bot's token: one of Slack, or of the configured server."""
    try:
        parts, own = urlsplit(url), urlsplit(api_base)
    except ValueError:
        return False
    host = parts.hostname or ""
    slack = parts.scheme == "https" and (host == "slack.com" or host.endswith(".slack.com"))
    return slack or (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
