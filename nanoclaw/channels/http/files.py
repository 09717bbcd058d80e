"""The files of the channel: uploads on their way to the host, and files of agents for later downloads."""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

import trio
from attrs import frozen

from nanoclaw.records import OutgoingFile
from nanoclaw.store.transcript import kept_files
from nanoclaw.store.transcript.kept_files import KeptFile
from nanoclaw.store.transcript.opening import Transcript
from nanoclaw.system.clock import Clock


@frozen
class Files:
    """The folders of the files."""

    folder: Path
    transcript: Transcript
    clock: Clock

    @property
    def uploads(self) -> Path:
        """The folder of files that the host does not have yet. It is emptied at each start."""
        return self.folder / "uploads"

    @property
    def kept(self) -> Path:
        """The folder of the files that agents sent."""
        return self.folder / "files"

    async def open(self) -> None:
        """Make the folders, and remove what an earlier process left behind."""
        known = await self.transcript.reader.run(kept_files.ids)
        await trio.to_thread.run_sync(self._prepare, known)

    def _prepare(self, known: frozenset[str]) -> None:
        shutil.rmtree(self.uploads, ignore_errors=True)
        for folder in (self.uploads, self.kept):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.kept.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)

    async def keep(self, chat: str, message_id: str, sent: Sequence[OutgoingFile]) -> list[KeptFile]:
        """Store the files of a message for downloads. Files that are stored again keep their ids."""
        found = []
        for n, file in enumerate(sent):
            id_ = "file-" + blake2b(f"{message_id}/{n}".encode(), digest_size=16).hexdigest()
            size = await trio.to_thread.run_sync(partial(_copy, file, self.kept / id_))
            found.append(KeptFile(id_, chat, file.name, size, self.clock.now()))
        await self.transcript.writer.run(kept_files.add, found)
        return found

    async def find(self, id_: str) -> tuple[KeptFile, Path] | None:
        """Return a file of an agent and its place, or None if it is gone."""
        found = await self.transcript.reader.run(kept_files.get, id_)
        return None if found is None else (found, self.kept / found.id)

    async def remove(self, ids: Sequence[str]) -> None:
        """Remove the contents of files."""
        await trio.to_thread.run_sync(self._unlink, ids)

    def _unlink(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            (self.kept / id_).unlink(missing_ok=True)


def _copy(file: OutgoingFile, place: Path) -> int:
    """Write a file so that it is complete or missing. Return its size."""
    draft = place.with_suffix(".part")
    with file.path.open("rb") as source, draft.open("wb") as output:
        shutil.copyfileobj(source, output)
        output.flush()
        os.fsync(output.fileno())
    draft.replace(place)
    return place.stat().st_size
