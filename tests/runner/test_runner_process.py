"""The program itself, as a process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

import agent_runner
from tests.runner.world import World, leave_hot_journal

HANG = 20


def environment(world: World, **more: str) -> dict[str, str]:
    config = world.config
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(agent_runner.__file__).parents[1]),
        "SESSION_INBOUND_DB_PATH": str(config.inbound_db),
        "SESSION_OUTBOUND_DB_PATH": str(config.outbound_db),
        "SESSION_HEARTBEAT_PATH": str(config.heartbeat),
        "NANOCLAW_WORKSPACE": str(config.workspace),
        **more,
    }


class Program:
    """A running `python -m agent_runner`, with its log."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._text = ""

    async def event(self, name: str) -> Mapping[str, object]:
        """Wait until it logs that event."""
        while True:
            line, newline, rest = self._text.partition("\n")
            if newline:
                self._text = rest
                told: dict[str, object] = json.loads(line)
                if told["event"] == name:
                    return told
            else:
                await self._more()

    async def _more(self) -> None:
        assert self.process.stderr is not None
        chunk = await self.process.stderr.receive_some()
        assert chunk, "it ended"
        self._text += chunk.decode()


@asynccontextmanager
async def program(environ: Mapping[str, str], *arguments: str) -> AsyncGenerator[Program]:
    """Start the runner. Kill it at the end, if it still runs."""
    command = [sys.executable, "-m", "agent_runner", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with trio.fail_after(HANG):
        process = await trio.lowlevel.open_process(command, env=environ, **pipes)  # type: ignore[call-overload]  # pipes
        try:
            yield Program(process)
        finally:
            process.kill()
            await process.wait()
            for stream in (process.stdin, process.stderr):
                await stream.aclose()


async def run(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run the runner to its end. Return the exit code and the last log line."""
    command = [sys.executable, "-m", "agent_runner", *arguments]
    with trio.fail_after(HANG):
        done = await trio.run_process(command, env=environ, check=False, capture_stderr=True)
    return done.returncode, str(json.loads(done.stderr.decode().splitlines()[-1]).get("reason"))


async def test_a_message_makes_its_round(world: World) -> None:
    world.put(2, "first")
    async with program(environment(world)) as running:
        await running.event("turn.ended")
        world.put(4, "second")
        with trio.fail_after(5):  # a slow poll would be thirty
            await running.event("turn.ended")
    assert world.texts() == ["echo: first", "echo: second"]


async def test_the_end_of_its_lifeline_ends_it_in_order_within_a_second(world: World) -> None:
    async with program(environment(world, NANOCLAW_LIFELINE="stdin")) as running:
        await running.event("runner.started")
        assert running.process.stdin is not None
        await running.process.stdin.aclose()
        with trio.fail_after(1):
            assert await running.process.wait() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order_within_a_second(world: World, how: signal.Signals) -> None:
    async with program(environment(world)) as running:
        await running.event("runner.started")
        running.process.send_signal(how)
        with trio.fail_after(1):
            assert await running.process.wait() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_signals_that_come_until_it_has_ended_do_not_kill_it(world: World, how: signal.Signals) -> None:
    async with program(environment(world)) as running:
        await running.event("runner.started")
        while running.process.poll() is None:
            running.process.send_signal(how)
            await trio.lowlevel.checkpoint()
        assert running.process.returncode == 0


ASKS_AT_IMPORT = """
import os, signal, sys

class AskAtImport:
    def find_spec(self, name, path=None, target=None):
        if name == "agent_runner.main":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, AskAtImport())
"""


async def test_a_signal_while_it_starts_ends_it_in_order(world: World, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(ASKS_AT_IMPORT)
    environ = environment(world)
    environ["PYTHONPATH"] = f"{tmp_path}:{environ['PYTHONPATH']}"
    code, _ = await run(environ)
    assert code == 0


async def test_while_a_runner_lives_a_second_one_and_recover_exit_with_three(world: World) -> None:
    refusal = (3, f"another runner holds {world.config.owner_lock}")

    async def refused(*arguments: str) -> None:
        assert await run(environment(world), *arguments) == refusal

    async with program(environment(world)) as running:
        await running.event("runner.started")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused)
            nursery.start_soon(refused, "recover")


async def test_a_killed_runner_leaves_the_lock_free(world: World) -> None:
    message = world.put(2)
    async with program(environment(world)) as running:
        await running.event("turn.started")
        running.process.kill()
    async with program(environment(world)) as running:
        await running.event("runner.started")
    assert world.acks()[message] in ("processing", "completed")


def has_journal(world: World) -> bool:
    return Path(f"{world.config.outbound_db}-journal").exists()


async def test_recover_makes_the_file_of_a_killed_runner_readable(world: World) -> None:
    leave_hot_journal(world.config.outbound_db)
    assert has_journal(world)
    assert await run(environment(world), "recover") == (0, "None")
    assert not has_journal(world)
    assert world.out("SELECT count(*) FROM messages_out") == [(0,)]


@pytest.mark.parametrize("content", [b"not a database" * 100, None])
async def test_recover_exits_with_four_where_nothing_can_be_recovered(
    world: World, content: bytes | None
) -> None:
    world.config.outbound_db.unlink()
    if content is not None:
        world.config.outbound_db.write_bytes(content)
    code, reason = await run(environment(world), "recover")
    assert code == 4
    assert str(world.config.outbound_db) in reason
    assert content is not None or not world.config.outbound_db.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("TZ", "Mars/Olympus"), ("AGENT_PROVIDER", "gpt-9"), ("NANOCLAW_LIFELINE", "rope")],
)
async def test_a_bad_environment_exits_with_two_and_a_clear_line(world: World, name: str, value: str) -> None:
    code, reason = await run(environment(world, **{name: value}))
    assert code == 2
    assert name in reason
    assert value in reason


async def test_an_unknown_command_exits_with_two(world: World) -> None:
    code, reason = await run(environment(world), "dance")
    assert code == 2
    assert "dance" in reason


async def test_a_missing_folder_is_a_failure_in_one_line(world: World, tmp_path: Path) -> None:
    gone = environment(world, SESSION_OUTBOUND_DB_PATH=str(tmp_path / "gone" / "o.db"))
    code, reason = await run(gone)
    assert code == 1
    assert "gone" in reason
