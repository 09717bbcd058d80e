"""The HTTP channel conforms to the protocol of channels."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import httpx2
import pytest
import trio
import trio.testing
from attrs import frozen

from nanoclaw.channels.http.channel import HttpChannel
from nanoclaw.records import Address
from nanoclaw.store import Connection, read_once
from nanoclaw.store.transcript import entries, kept_files
from nanoclaw.store.transcript.entries import Entry
from nanoclaw.testing.conformance import ChannelUnderTest, Check, channel_checks
from nanoclaw.testing.conformance.networks import Thread
from tests.channels.http.http_under_test import KEYS, client, http_channel

T = TypeVar("T")
CHAT, THREAD = Address("http", "ann"), Address("http", "ann", "thread 1")


@frozen
class Ann:
    """A user whose program repeats what was not accepted, with the same idempotency key."""

    channel: HttpChannel
    folder: Path

    def shown(self, thread: str = "") -> Sequence[Entry]:
        """Return the messages of agents as they are now."""
        found = self._read(lambda connection: entries.history(connection, "ann", thread, None, 1000))
        return [each for each in found if each.kind != "user"]

    def texts(self, thread: str = "") -> Sequence[str]:
        return [each.content["text"] for each in self.shown(thread)]

    def answers(self) -> Sequence[str | None]:
        return [each.in_reply_to for each in self.shown()]

    def reactions(self) -> Sequence[tuple[str, str]]:
        return [(each.message_id, one) for each in self.shown() for one in each.content.get("reactions", ())]

    def files(self) -> Sequence[tuple[str, bytes]]:
        named = [file for each in self.shown() for file in each.content.get("files", ())]
        kept = [self._kept(file["id"]) for file in named]
        return [(file.name, (self.folder / "files" / file.id).read_bytes()) for file in kept if file]

    def _kept(self, id_: str) -> kept_files.KeptFile | None:
        return self._read(lambda connection: kept_files.get(connection, id_))

    def _read(self, fn: Callable[[Connection], T]) -> T:
        return read_once(self.folder / "transcript.db", fn)

    async def says(self, text: str, thread: str | None = None) -> None:
        await self._post(json={"text": text, "thread": thread})

    async def sends(self, name: str, data: bytes) -> None:
        await self._post(files={"file": (name, data)}, data={"text": ""})

    async def presses(self, label: str) -> None:
        card = self.shown()[-1].content
        value = next(each["value"] for each in card["options"] if each["label"] == label)
        await self._repeat("/v1/answers", json={"question": card["question_id"], "value": value})

    async def _post(self, **body: object) -> None:
        await self._repeat("/v1/messages", headers={"idempotency-key": str(trio.current_time())}, **body)

    async def _repeat(self, path: str, **request: object) -> None:
        """Send a request until it is accepted, also to a server that was started again."""
        answer: httpx2.Response | None = None
        while answer is None or answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
            while self.channel.port is None:
                await trio.testing.wait_all_tasks_blocked()
            async with client(self.channel.port, KEYS["ann"]) as ann:
                with suppress(httpx2.TransportError):
                    answer = await ann.post(path, **request)  # type: ignore[arg-type]  # what httpx takes
        assert answer.is_success, answer.text


@asynccontextmanager
async def http_under_test() -> AsyncIterator[ChannelUnderTest]:
    with TemporaryDirectory() as folder:
        ann = Ann(http_channel(Path(folder)), Path(folder))
        yield ChannelUnderTest(
            ann.channel,
            CHAT,
            ann.texts,
            says=ann.says,
            presses=ann.presses,
            sends=ann.sends,
            files=ann.files,
            answers=ann.answers,
            reactions=ann.reactions,
            thread=Thread(THREAD, partial(ann.texts, "thread 1"), partial(ann.says, thread=THREAD.thread_id)),
        )


@pytest.mark.parametrize("check", channel_checks(http_under_test), ids=str)
async def test_http_conforms(check: Check) -> None:
    await check()
