"""Containers outlive their host: adoption, replacement, their end without it, several installations."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE

import trio
from attrs import evolve

from nanoclaw.runtimes import Limits, RunnerSpec
from nanoclaw.runtimes.docker.container import LIFELINE
from nanoclaw.testing import FakeChannel
from nanoclaw.testing.conformance import make_session
from nanoclaw.testing.conformance.sessions import lives, until_it_lives
from tests.docker_runtime.docker_homes import GUARD_S, containers, docker_host, install_of, until
from tests.docker_runtime.serving import running, served
from tests.engine.fixtures import EngineForTests

ROOT = Path(__file__).parents[2]
LIFELINE_S = 2.0


@asynccontextmanager
async def host_program(home: Path, engine: EngineForTests) -> AsyncIterator[trio.Process]:
    """Run a host as a process of its own. Its stdout has a line for each reply; it says "hello" first."""
    command = [
        sys.executable,
        "-m",
        "tests.docker_runtime.docker_host",
        str(home),
        str(engine.socket),
        engine.image,
    ]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdin=PIPE, stdout=PIPE, cwd=ROOT, check=False)
        process: trio.Process = await nursery.start(run)
        yield process
        nursery.cancel_scope.cancel()


async def line_of(process: trio.Process) -> str:
    assert process.stdout is not None
    text = b""
    while not text.endswith(b"\n"):
        piece = await process.stdout.receive_some()
        assert piece, "the host has ended"
        text += piece
    return text.decode().strip()


async def test_the_container_of_a_killed_host_is_adopted_and_answers_on(
    engine: EngineForTests, tmp_path: Path
) -> None:
    with trio.fail_after(GUARD_S):
        async with host_program(tmp_path, engine) as process:
            assert "hello" in await line_of(process)
            before = containers_of_home(engine, tmp_path)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        assert [each["Id"] for each in containers_of_home(engine, tmp_path)] == [
            each["Id"] for each in before
        ]
        assert before[0]["State"] == "running"
        channel = FakeChannel()
        async with docker_host(tmp_path, engine, channel):
            await channel.say("again", event_id="e2")
            assert "again" in str((await channel.reply_to("e2")).content)
            after = containers_of_home(engine, tmp_path)
            assert [each["Id"] for each in after] == [each["Id"] for each in before]
    assert not [each for each in containers_of_home(engine, tmp_path) if each["State"] == "running"]


async def test_a_host_that_stops_also_stops_survivors_that_it_has_not_adopted(
    engine: EngineForTests, tmp_path: Path
) -> None:
    spec = await make_session(tmp_path)
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            async with running(runtime, spec) as runner:
                await until_it_lives(spec.paths)
                runner.host_is_dead = True
            assert await runtime.survivors() == ["sess-1"]
        assert not lives(spec.paths)
        assert containers(engine.engine, tmp_path.name) == []


def containers_of_home(engine: EngineForTests, home: Path) -> list[dict[str, object]]:
    """Return the containers with a mount below a home."""
    return [
        each
        for each in containers(engine.engine)
        if any(str(mount["Source"]).startswith(f"{home}/") for mount in each["Mounts"])
    ]


async def test_a_container_of_another_specification_is_replaced(
    engine: EngineForTests, tmp_path: Path
) -> None:
    spec = await make_session(tmp_path)
    other = evolve(spec, limits=Limits(processes=99))
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            async with running(runtime, spec) as runner:
                await until_it_lives(spec.paths)
                runner.host_is_dead = True
            assert await runtime.survivors() == ["sess-1"]
            async with running(runtime, other) as another:
                assert another.container_id != runner.container_id
                [found] = containers(engine.engine, tmp_path.name)
                assert found["Id"] == another.container_id
                await until_it_lives(spec.paths)


def touched(spec: RunnerSpec) -> float:
    """Return when its host last touched a container's lifeline."""
    return (spec.paths.gateway_dir / LIFELINE).stat().st_mtime


async def test_a_container_ends_by_itself_if_its_host_does_not_come_back(
    engine: EngineForTests, tmp_path: Path
) -> None:
    spec = await make_session(tmp_path)
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name, lifeline_s=LIFELINE_S) as runtime:
            async with running(runtime, spec) as runner:
                await until_it_lives(spec.paths)
                began = touched(spec)
                await until(lambda: touched(spec) > began + 2 * LIFELINE_S)
                assert lives(spec.paths)
                runner.host_is_dead = True
            with engine.engine.client() as client:
                ended = await trio.to_thread.run_sync(client.wait, runner.container_id)
    assert ended["StatusCode"] == 0
    assert not lives(spec.paths)


async def test_a_container_ends_without_its_engine(engine: EngineForTests, tmp_path: Path) -> None:
    """Removing the lifeline is enough."""
    spec = await make_session(tmp_path)
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime, running(runtime, spec) as runner:
            await until_it_lives(spec.paths)
            runner.lifeline.unlink()
            await runner.ended.wait()
            assert not lives(spec.paths)


async def test_two_installations_share_an_engine_and_leave_each_other_alone(
    engine: EngineForTests, tmp_path: Path
) -> None:
    first, second = FakeChannel(), FakeChannel()
    with trio.fail_after(GUARD_S):
        async with docker_host(tmp_path / "one", engine, first) as host:
            async with docker_host(tmp_path / "two", engine, second) as other:
                ids = [await install_of(host), await install_of(other)]
                for channel in (first, second):
                    await channel.say("hello", event_id="e1")
                    await channel.reply_to("e1")
                assert [len(containers(engine.engine, id_)) for id_ in ids] == [1, 1]
            assert [len(containers(engine.engine, id_)) for id_ in ids] == [1, 0]
            await first.say("still there?", event_id="e2")
            await first.reply_to("e2")


async def test_remains_are_removed_and_containers_of_others_are_not(
    engine: EngineForTests, tmp_path: Path
) -> None:
    """Dead containers, and those whose session is gone; only of the own installation."""
    own, foreign = tmp_path.name, f"other-{tmp_path.name}"
    made = {}
    with engine.engine.client() as client:
        for install_id in (own, foreign):
            labels = {"nanoclaw.install": install_id, "nanoclaw.session": "sess-9", "nanoclaw.spec": "x"}
            body = {"Image": engine.image, "Labels": labels, "HostConfig": {"NetworkMode": "none"}}
            made[install_id] = client.create_container_from_config(body, f"nanoclaw-{install_id}-sess-9")[
                "Id"
            ]
        with trio.fail_after(GUARD_S):
            async with served(engine, own):
                assert containers(engine.engine, own) == []
                assert [each["Id"] for each in containers(engine.engine, foreign)] == [made[foreign]]
        client.remove_container(made[foreign])
