"""The draft file: what a turn has written so far, and until when it is there."""

import json
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import Factory, define, evolve

from agent_runner.drafts import INTERVAL, MAX_CHARACTERS
from agent_runner.errors import ProviderError
from agent_runner.log import Log
from agent_runner.providers import Toolbox
from agent_runner.records import Reply, Result, Turn
from agent_runner.replacing import replace_file
from agent_runner.runner import run_runner
from tests.runner.world import Script, World, virtually

MOST = 64 * 1024
"""Bytes that a host reads."""


@define(eq=False)
class Files:
    """Replaces the draft file, and keeps what was written and when."""

    error: OSError | None = None
    written: list[tuple[float, str]] = Factory(list)
    logged: list[str] = Factory(list)

    def replace(self, path: Path, content: bytes) -> None:
        if self.error is not None:
            raise self.error
        replace_file(path, content)
        assert len(content) <= MOST
        self.written.append((trio.current_time(), json.loads(content)["text"]))


def answer(turn: Turn, text: str = "the end") -> Result:
    return Result((Reply(text, in_reply_to=turn.messages[0].id),))


def draft_of(world: World) -> dict[str, Any] | None:
    """Return the draft that a reader finds now."""
    try:
        found: dict[str, Any] = json.loads(world.config.draft.read_text())
    except FileNotFoundError:
        return None
    return found


async def drafting(world: World, files: Files, script: Script, *ids: str, status: str = "completed") -> None:
    """Run a runner until messages have an ack, and it has nothing more to do."""
    seams = evolve(world.seams(script), replace=files.replace, log=Log(files.logged.append))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_runner, world.config, seams)
        with trio.fail_after(1000):
            await world.until_acked(*ids, status=status)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


def test_the_first_text_is_written_after_5_ms_and_then_the_newest_every_50_ms(tmp_path: Path) -> None:
    world, files = World.create(tmp_path), Files()
    seen: list[object] = []

    async def act(turn: Turn, tools: Toolbox) -> Result:
        begun = trio.current_time()
        for n in range(11):
            tools.draft(f"text {n}")
            await trio.sleep(0.02)
        seen.append(draft_of(world))
        files.written = [(at - begun, text) for at, text in files.written]
        return answer(turn)

    virtually(drafting, world, files, Script(act), world.put(2))
    assert [(round(at, 3), text) for at, text in files.written] == [
        (0.005, "text 0"),
        (0.055, "text 2"),
        (0.105, "text 5"),
        (0.155, "text 7"),
        (0.205, "text 10"),
    ]
    where = {"channel_type": "tg", "platform_id": "chat-1", "thread_id": None}
    [draft] = seen
    assert draft == {"turn": draft["turn"], "address": where, "text": "text 10"}  # type: ignore[index]  # see above


def test_an_answer_that_is_complete_within_5_ms_has_no_draft(tmp_path: Path) -> None:
    world, files = World.create(tmp_path), Files()

    async def act(turn: Turn, tools: Toolbox) -> Result:
        tools.draft("so far")
        await trio.sleep(0.004)
        return answer(turn)

    virtually(drafting, world, files, Script(act), world.put(2))
    assert (world.texts(), files.written) == (["the end"], [])


@pytest.mark.parametrize("status", ["completed", "released"])
def test_the_draft_is_gone_when_the_turn_is_over(tmp_path: Path, status: str) -> None:
    world, files = World.create(tmp_path), Files()

    async def act(turn: Turn, tools: Toolbox) -> Result:
        tools.draft("so far")
        await trio.sleep(INTERVAL)
        assert draft_of(world) is not None
        if status == "released":
            raise ProviderError("the network is down")
        return answer(turn)

    virtually(lambda: drafting(world, files, Script(act), world.put(2), status=status))
    assert [text for _, text in files.written] == ["so far"]
    assert draft_of(world) is None


def test_a_runner_removes_the_draft_that_a_killed_one_has_left(tmp_path: Path) -> None:
    world = World.create(tmp_path)
    world.config.draft.write_text("left")

    async def act(turn: Turn, _tools: Toolbox) -> Result:
        await trio.lowlevel.checkpoint()
        assert draft_of(world) is None
        return answer(turn)

    virtually(drafting, world, Files(), Script(act), world.put(2))
    assert world.texts() == ["the end"]


@pytest.mark.parametrize("character", ["x", "\x00", "\U0001f44d", "\ud800"])
def test_of_a_long_text_the_end_is_written_and_fits_what_a_host_reads(tmp_path: Path, character: str) -> None:
    world, files = World.create(tmp_path), Files()

    async def act(turn: Turn, tools: Toolbox) -> Result:
        tools.draft("begin" + character * MAX_CHARACTERS)
        await trio.sleep(INTERVAL)
        return answer(turn)

    virtually(drafting, world, files, Script(act), world.put(2))
    [(_, text)] = files.written
    assert (text[0], len(text)) == ("…", MAX_CHARACTERS + 1)
    assert text[-1] == ("?" if character == "\ud800" else character)


def test_a_full_disk_loses_the_draft_and_nothing_else_and_is_logged_once(tmp_path: Path) -> None:
    world, files = World.create(tmp_path), Files(OSError(ENOSPC, "the disk is full"))

    async def act(turn: Turn, tools: Toolbox) -> Result:
        for n in range(5):
            tools.draft(f"text {n}")
            await trio.sleep(INTERVAL)
        return answer(turn)

    virtually(drafting, world, files, Script(act), world.put(2))
    assert world.texts() == ["the end"]
    assert len([line for line in files.logged if "draft.not_written" in line]) == 1


def test_a_draft_that_comes_after_its_turn_is_not_written(tmp_path: Path) -> None:
    world, files = World.create(tmp_path), Files()
    kept: list[Toolbox] = []

    async def act(turn: Turn, tools: Toolbox) -> Result:
        for earlier in kept:
            earlier.draft("late")
        if not kept:
            world.put(4)
        kept.append(tools)
        await trio.sleep(INTERVAL)
        return answer(turn)

    virtually(drafting, world, files, Script(act), world.put(2), "in-4")
    assert len(kept) == 2
    assert files.written == []


def test_a_turn_without_an_address_has_no_draft(tmp_path: Path) -> None:
    world, files = World.create(tmp_path), Files()
    world.host("DELETE FROM session_routing")

    async def act(_turn: Turn, tools: Toolbox) -> Result:
        tools.draft("so far")
        await trio.sleep(INTERVAL)
        return Result()

    virtually(drafting, world, files, Script(act), world.put(2, channel_type=None, platform_id=None))
    assert files.written == []


def test_a_provider_that_drafts_is_not_silent(tmp_path: Path) -> None:
    world, files = World.create(tmp_path), Files()
    limit = world.config.silence_limit

    async def act(turn: Turn, tools: Toolbox) -> Result:
        for n in range(3):
            await trio.sleep(limit * 0.8)
            tools.draft(f"text {n}")
        return answer(turn)

    async def main() -> None:
        async with world.running(Script(act)):
            await world.until_acked(world.put(2))

    virtually(main)
    assert world.texts() == ["the end"]
    assert files.written == []


def test_a_draft_that_is_no_text_fails_the_turn(tmp_path: Path) -> None:
    world = World.create(tmp_path)

    async def act(turn: Turn, tools: Toolbox) -> Result:
        tools.draft(b"bytes")  # type: ignore[arg-type]  # providers are written by other people
        return answer(turn)

    virtually(lambda: drafting(world, Files(), Script(act), world.put(2), status="released"))
    assert "a draft must be text, got bytes" in str(world.out("SELECT error FROM processing_ack"))
