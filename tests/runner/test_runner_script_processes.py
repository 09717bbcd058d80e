"""Scripts of tasks as real processes."""

import os
from pathlib import Path

import pytest
import trio

from agent_runner.scripts.processes import ScriptProcesses


async def run(
    script: str, workspace: Path, limit_s: float = 20.0, **environment: str
) -> tuple[str, str | None]:
    """Return the output of a script, and why it does not count."""
    processes = ScriptProcesses({"PATH": os.environ["PATH"], **environment}, limit_s)
    ended = await processes.run(script, workspace)
    return ended.stdout, ended.problem


async def gone(pid: int) -> None:
    """Wait until a killed process is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)


async def test_it_runs_in_the_workspace_with_stdin_closed(tmp_path: Path) -> None:
    assert await run("pwd; cat; echo end", tmp_path) == (f"{tmp_path}\nend\n", None)


async def test_it_does_not_see_how_to_reach_the_model(tmp_path: Path) -> None:
    output, _ = await run(
        'echo "$NANOCLAW_MODEL_SOCKET,$OTHER"', tmp_path, NANOCLAW_MODEL_SOCKET="secret", OTHER="open"
    )
    assert output == ",open\n"


async def test_an_exit_code_is_a_failure(tmp_path: Path) -> None:
    assert await run("echo x; exit 3", tmp_path) == ("x\n", "the script ended with exit code 3")


async def test_the_end_of_an_endless_output_counts(tmp_path: Path) -> None:
    output, problem = await run("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last", tmp_path)
    assert problem is None
    assert len(output) == 65_536
    assert output.endswith("x\nlast\n")


async def test_a_script_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    output, problem = await run("sleep 1000 & echo $!; wait", tmp_path, limit_s=1.0)
    assert problem == "the script took longer than 1 s and was killed"
    await gone(int(output))


async def test_children_that_a_script_leaves_behind_are_killed(tmp_path: Path) -> None:
    with trio.fail_after(10):
        output, problem = await run("sleep 1000 & echo $!", tmp_path)
    assert problem is None
    await gone(int(output))


async def test_a_cancelled_script_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    reading = os.open(tmp_path / "started", os.O_RDONLY | os.O_NONBLOCK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "echo $$ > started; sleep 1000", tmp_path)
        with trio.fail_after(10):
            await trio.lowlevel.wait_readable(reading)
        pid = int(os.read(reading, 100))
        nursery.cancel_scope.cancel()
    os.close(reading)
    await gone(pid)


@pytest.mark.parametrize("script", ["x" * 100_000, "echo ü\ud800"])
async def test_any_script_can_be_handed_over(tmp_path: Path, script: str) -> None:
    await run(script, tmp_path)


async def test_a_workspace_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    _, problem = await run("true", tmp_path / "gone")
    assert problem == "the script could not be started: No such file or directory"
