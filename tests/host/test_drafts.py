"""Drafts of a hostile runner: where they are shown, until when, and what a bad file does (contract 6)."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from nanoclaw.records import Address
from nanoclaw.session.drafts import INTERVAL_S
from nanoclaw.store.session.draft_file import MAX_BYTES, Draft, read_draft
from tests.host.homes import GUARD_S
from tests.host.stage import Stage, a_stage
from tests.host.test_deliveries import acks, says

HERE, THERE = "bad", "good"
"""The chats of the attacked session and of the other one."""


def content(stage: Stage, text: str = "so far", chat: str = HERE, **changes: object) -> bytes:
    where = {
        "channel_type": "fake",
        "platform_id": stage.channel.address(chat).platform_id,
        "thread_id": None,
    }
    return json.dumps({"turn": "turn-1", "address": where, "text": text, **changes}).encode()


def drafts(stage: Stage, data: bytes, chat: str = HERE) -> None:
    """Replace the draft file of a chat's session as a runner does."""
    file = stage.paths(chat).draft
    aside = file.with_name(".draft.tmp")
    aside.write_bytes(data)
    aside.rename(file)


def claims(stage: Stage, chat: str = HERE, status: str = "processing") -> None:
    stage.writes(acks(stage.messages[chat], status), chat=chat)


async def is_shown(stage: Stage, *texts: str, chat: str = HERE) -> None:
    """Wait until exactly these drafts were shown, in one chat."""
    with trio.fail_after(GUARD_S):
        shown = await stage.channel.wait_drafts(len(texts))
    assert shown == tuple((stage.channel.address(chat), text) for text in texts)


async def a_good_draft_is_shown_next(stage: Stage) -> None:
    """Check that none of the drafts so far was shown, and that the next good one is."""
    drafts(stage, content(stage, "good"))
    await is_shown(stage, "good")


async def test_a_draft_of_a_claimed_message_is_shown_in_its_chat(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        claims(stage)
        drafts(stage, content(stage))
        await is_shown(stage, "so far")


async def test_a_draft_that_is_older_than_the_claim_is_shown_once_the_claim_is_known(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        drafts(stage, content(stage))
        await stage.neighbour_goes_on()
        assert stage.channel.drafts == []
        claims(stage)
        await is_shown(stage, "so far")


async def test_a_draft_for_another_chat_is_not_shown(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        claims(stage)
        drafts(stage, content(stage, chat=THERE))
        await stage.neighbour_goes_on()
        await a_good_draft_is_shown_next(stage)


async def test_the_final_text_replaces_the_draft_and_later_drafts_are_dropped(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        claims(stage)
        drafts(stage, content(stage))
        await is_shown(stage, "so far")
        stage.writes(says("out-1", 1, None), acks(stage.messages[HERE], "completed"))
        drafts(stage, content(stage, "too late"))
        await stage.delivered("out-1")
        await stage.neighbour_goes_on()
        await is_shown(stage, "so far")


async def test_the_draft_of_a_released_turn_is_removed(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        claims(stage)
        drafts(stage, content(stage))
        await is_shown(stage, "so far")
        claims(stage, status="released")
        await is_shown(stage, "so far", "")


def link(file: Path, good: bytes) -> None:
    file.with_name("real").write_bytes(good)
    aside = file.with_name("aside")
    aside.symlink_to("real")
    aside.rename(file)


def fifo(file: Path, _good: bytes) -> None:
    aside = file.with_name("aside")
    os.mkfifo(aside)
    aside.rename(file)


def folder(file: Path, _good: bytes) -> None:
    aside = file.with_name("aside")
    aside.mkdir()
    aside.rename(file)


def of(change: Callable[[bytes], bytes]) -> Callable[[Path, bytes], None]:
    def write(file: Path, good: bytes) -> None:
        file.write_bytes(change(good))

    return write


def with_(**changes: object) -> Callable[[Path, bytes], None]:
    return of(lambda good: json.dumps({**json.loads(good), **changes}).encode())


NO_DRAFTS = {
    "a link": link,
    "a pipe": fifo,
    "a folder": folder,
    "too long": with_(text="x" * MAX_BYTES),
    "empty": of(lambda _: b""),
    "not UTF-8": of(lambda good: good.replace(b"so far", b"\xff")),
    "not JSON": of(lambda good: good[:-1]),
    "nested too deeply": of(lambda _: b"[" * MAX_BYTES),
    "a number of many digits": of(lambda _: b"9" * 10_000),
    "a list": of(lambda good: b"[" + good + b"]"),
    "a text that is none": with_(text=["so far"]),
    "another key": with_(more=1),
    "no address": with_(address=None),
    "another key in the address": with_(
        address={"channel_type": "fake", "platform_id": "x", "thread_id": None, "more": 1}
    ),
    "no thread": with_(address={"channel_type": "fake", "platform_id": "x"}),
}


@pytest.mark.parametrize("write", NO_DRAFTS.values(), ids=NO_DRAFTS)
def test_a_bad_file_is_no_draft(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    address = Address("fake", "chat", "thread")
    where = {"channel_type": "fake", "platform_id": "chat", "thread_id": "thread"}
    good = json.dumps({"turn": "turn-1", "address": where, "text": "so far\ud800"}).encode()
    file = tmp_path / ".draft"
    assert read_draft(file) is None
    file.write_bytes(good)
    assert read_draft(file) == Draft(address, "so far?")
    file.unlink()
    write(file, good)
    assert read_draft(file) is None


async def test_a_runner_that_replaces_its_draft_all_the_time_causes_bounded_work(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        claims(stage)
        begun = trio.current_time()
        for n in range(3_000):
            drafts(stage, content(stage, str(n)))
            if n % 10 == 0:
                await trio.lowlevel.checkpoint()
        took_s = trio.current_time() - begun
        await stage.neighbour_goes_on()
        assert len(stage.channel.drafts) <= took_s / INTERVAL_S + 2
        stage.writes(says("out-1", 1, None), acks(stage.messages[HERE], "completed"))
        await stage.delivered("out-1")
