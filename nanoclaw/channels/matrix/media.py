"""Files of Matrix servers: streamed to and from disk, and encrypted in encrypted rooms."""

import hashlib
import os
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import trio
from attrs import frozen

from nanoclaw.channels.fetching import NotFetched
from nanoclaw.channels.matrix.receiving import FileKey, RemoteFile
from nanoclaw.channels.matrix.server import Server, refusal
from nanoclaw.channels.media import Files
from nanoclaw.channels.protocol import ChannelUnavailable

CHUNK = 64 << 10
OK = 200
TIMEOUT = httpx2.Timeout(30.0)
DOWNLOAD = "/_matrix/client/v1/media/download"
UPLOAD = "/_matrix/media/v3/upload"


@frozen
class ServerFiles:
    """The files of an account's server."""

    server: Server

    async def fetch(self, files: Files, file: RemoteFile) -> None:
        """Fetch a file of a message. One that can never be had becomes a line of the message.

        Raises:
            ChannelUnavailable: the server cannot be reached.
        """
        try:
            await files.add(file.kind, file.name, self._content(file))
        except httpx2.TimeoutException:
            files.lost(file.name, "its server did not answer in time")
        except httpx2.TransportError as error:
            raise ChannelUnavailable(f"the server cannot be reached: {error}") from error

    async def _content(self, file: RemoteFile) -> AsyncIterator[bytes]:
        """Yield the content of a file, decrypted. Raises NotFetched."""
        place = "/".join(quote(part, safe="") for part in file.mxc.removeprefix("mxc://").split("/", 1))
        address = f"{self.server.client.homeserver}{DOWNLOAD}/{place}"
        cipher = None if file.key is None else Cipher.of(file.key)
        async with self._http() as http, http.stream("GET", address) as answer:
            if answer.status_code != OK:
                raise NotFetched(f"its server says {answer.status_code}")
            async for chunk in answer.aiter_bytes(CHUNK):
                yield chunk if cipher is None else cipher.decrypt(chunk)
        if cipher is not None and not cipher.is_whole:
            raise NotFetched("it is damaged")

    async def upload(self, path: Path, size: int, name: str, mime: str, *, encrypted: bool) -> dict[str, Any]:
        """Send a file. Return its `url`, or its encrypted `file`, as events have it.

        Raises:
            DeliveryRejected: the server does not take it.
            ChannelUnavailable: it does not take it now.
        """
        cipher = Cipher.new() if encrypted else None
        mime, name = ("application/octet-stream", "file") if encrypted else (mime, name)
        address = f"{self.server.client.homeserver}{UPLOAD}?filename={quote(name, safe='')}"
        headers = {"Content-Type": mime, "Content-Length": str(size)}
        async with self._http() as http:
            try:
                answer = await http.post(address, content=_read(path, cipher), headers=headers)
            except httpx2.TransportError as error:
                raise ChannelUnavailable(f"the file could not be sent: {error}") from error
        said = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
        if answer.status_code != OK or not isinstance(said, dict) or "content_uri" not in said:
            raise refusal(said if isinstance(said, dict) else {}, answer.status_code)
        url = str(said["content_uri"])
        return {"url": url} if cipher is None else {"file": cipher.described(url)}

    def _http(self) -> httpx2.AsyncClient:
        """Return a client that follows no redirects and asks no proxy."""
        headers = {"Authorization": f"Bearer {self.server.token}"}
        return httpx2.AsyncClient(timeout=TIMEOUT, headers=headers, follow_redirects=False, trust_env=False)


class Cipher:
    """AES in counter mode, as encrypted files of Matrix have it, with the hash of the encrypted bytes."""

    def __init__(self, key: bytes, iv: bytes, sha256: str = "") -> None:
        from Crypto.Cipher import AES  # noqa: PLC0415 -- of the extra `matrix`

        self._key, self._iv, self._wanted = key, iv, sha256
        self._aes = AES.new(key, AES.MODE_CTR, nonce=iv[:8], initial_value=iv[8:])
        self._hash = hashlib.sha256()

    @classmethod
    def new(cls) -> "Cipher":
        """Return one with a key of its own."""
        return cls(os.urandom(32), os.urandom(8) + bytes(8))

    @classmethod
    def of(cls, key: FileKey) -> "Cipher":
        """Return the one of a file. Raises NotFetched."""
        try:
            secret, iv = (urlsafe_b64decode(_padded(part)) for part in (key.key, key.iv))
            return cls(secret, iv, _plain(key.sha256))
        except ValueError as error:
            raise NotFetched("its key is malformed") from error

    def encrypt(self, chunk: bytes) -> bytes:
        """Return the next bytes, encrypted."""
        sealed: bytes = self._aes.encrypt(chunk)
        self._hash.update(sealed)
        return sealed

    def decrypt(self, chunk: bytes) -> bytes:
        """Return the next bytes, decrypted."""
        self._hash.update(chunk)
        opened: bytes = self._aes.decrypt(chunk)
        return opened

    @property
    def is_whole(self) -> bool:
        """True if the decrypted file has the hash that was announced."""
        return b64encode(self._hash.digest()).decode().rstrip("=") == self._wanted

    def described(self, url: str) -> dict[str, Any]:
        """Return the encrypted file as events have it."""
        key = {
            "alg": "A256CTR",
            "ext": True,
            "k": urlsafe_b64encode(self._key).decode().rstrip("="),
            "key_ops": ["encrypt", "decrypt"],
            "kty": "oct",
        }
        hashes = {"sha256": b64encode(self._hash.digest()).decode().rstrip("=")}
        return {
            "v": "v2",
            "url": url,
            "key": key,
            "iv": b64encode(self._iv).decode().rstrip("="),
            "hashes": hashes,
        }


def _padded(text: str) -> str:
    return _plain(text).replace("+", "-").replace("/", "_") + "=" * (-len(_plain(text)) % 4)


def _plain(text: str) -> str:
    return text.strip().rstrip("=")


async def _read(path: Path, cipher: Cipher | None) -> AsyncIterator[bytes]:
    """Read a file in pieces, encrypted if there is a cipher."""
    async with await trio.open_file(path, "rb") as file:
        while chunk := await file.read(CHUNK):
            yield chunk if cipher is None else cipher.encrypt(chunk)
