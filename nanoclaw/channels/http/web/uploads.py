"""Files on their way from the page: written to disk as they come, and kept until their message is sent."""

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from functools import partial
from hashlib import blake2b, sha256
from pathlib import Path

import trio
from attrs import Factory, define, frozen
from starlette.requests import Request

from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.rooms import Upload

MOST_WAITING = 40
"""Files of a user that wait for their message. The oldest is removed for a new one."""
MOST_BYTES = 256 << 20
"""Limit of the bytes of these files."""
LONGEST_NAME = 255


@frozen
class _Waiting:
    user: str
    id: str
    upload: Upload


@define(eq=False)
class Uploads:
    """The files that wait. An earlier process's are gone: its page uploads them again."""

    folder: Path
    largest: int
    """Limit of one file in bytes."""
    _waiting: dict[tuple[str, str], _Waiting] = Factory(dict)

    async def take(self, request: Request, user: str, id_: str) -> Upload:
        """Write the body of a request to a file. An upload that is repeated replaces the earlier one.

        Raises:
            ApiError: the file is too large, or cannot be stored.
        """
        place = self.folder / f"web-{blake2b(f'{user}/{id_}'.encode(), digest_size=16).hexdigest()}"
        draft = place.with_suffix(f".{id(request):x}")
        try:
            size, digest = await self._write(request, draft)
            await trio.to_thread.run_sync(draft.replace, place)
        except OSError as error:
            raise ApiError(507, f"the file cannot be stored: {error.strerror}", code="not_stored") from error
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(partial(draft.unlink, missing_ok=True))
        name = (request.query_params.get("name") or "file").replace("\\", "/").rpartition("/")[2]
        upload = Upload(name[:LONGEST_NAME] or "file", _type(request), place, size, digest)
        self._waiting.pop((user, id_), None)
        self._waiting[user, id_] = _Waiting(user, id_, upload)
        await self._make_room(user)
        return upload

    async def _write(self, request: Request, place: Path) -> tuple[int, str]:
        """Write a body to a file. Return its size and its SHA-256."""
        size, digest = 0, sha256()
        async with await trio.open_file(place, "wb") as output, aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if (
                    size <= self.largest
                ):  # what is more is read, too: a client that is sending reads no answer
                    digest.update(chunk)
                    await output.write(chunk)
        if size > self.largest:
            raise ApiError(413, f"a file must have at most {self.largest:,} bytes", code="too_large")
        return size, digest.hexdigest()

    def find(self, user: str, ids: Sequence[str]) -> list[Upload] | None:
        """Return the files of a message in order; None if one is not there."""
        found = [self._waiting.get((user, id_)) for id_ in ids]
        return [each.upload for each in found if each is not None] if all(found) else None

    async def remove(self, user: str, ids: Sequence[str]) -> None:
        """Remove the files of a message that the host has."""
        for id_ in ids:
            found = self._waiting.pop((user, id_), None)
            if found is not None:
                await trio.to_thread.run_sync(partial(found.upload.path.unlink, missing_ok=True))

    async def _make_room(self, user: str) -> None:
        await self.remove(user, list(self._excess(user)))

    def _excess(self, user: str) -> Iterator[str]:
        """Yield the ids of the oldest files of a user that are too many or too large together."""
        waiting = [each for each in self._waiting.values() if each.user == user]
        size = sum(each.upload.size for each in waiting)
        while len(waiting) > MOST_WAITING or (size > MOST_BYTES and len(waiting) > 1):
            oldest = waiting.pop(0)
            size -= oldest.upload.size
            yield oldest.id


def _type(request: Request) -> str:
    """Return the kind of file that the page names."""
    return (request.query_params.get("type") or "file")[:100]
