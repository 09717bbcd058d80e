"""Errors of the system, such as a full disk, delay an answer and lose nothing."""

import apsw
import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Reply, Result, Turn
from tests.runner.world import Script, World

FAULTS = [
    apsw.FullError("database or disk is full"),
    apsw.IOError("disk I/O error"),
    apsw.CantOpenError("unable to open database file"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["full", "io", "cantopen"])
async def test_a_result_that_cannot_be_committed_is_kept_until_it_can(
    world: World, fault: apsw.Error
) -> None:
    turns: list[str] = []

    async def act(turn: Turn, _tools: Toolbox) -> Result:
        turns.append(turn.turn_id)
        return Result((Reply("done", turn.messages[0].id),))

    def fails(n: int, when: str) -> None:
        if when == "before" and n > 1 and trio.current_time() < 600:
            raise fault

    world.executor.on_commit = fails
    async with world.running(Script(act)):
        message = world.put(2)
        await trio.sleep(590)
        assert world.acks() == {message: "processing"}
        await trio.sleep(60)
        assert (world.acks(), world.texts()) == ({message: "completed"}, ["done"])
    assert len(turns) == 1
