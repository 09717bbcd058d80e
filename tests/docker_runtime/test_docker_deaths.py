"""The ends of containers and failed starts, as the docker runtime reports them."""

from pathlib import Path

import pytest
import trio
from attrs import define, evolve

from nanoclaw.runtimes import Death, Limits, NotNow, StartFailed, stderr
from nanoclaw.testing.conformance import make_session
from tests.docker_runtime.docker_homes import GUARD_S, containers
from tests.docker_runtime.serving import running, scripted, served
from tests.engine.fixtures import EngineForTests

MISSING = "nanoclaw-agent:nobody-has-built-it"


@pytest.mark.parametrize(
    ("script", "orderly", "reason"),
    [
        ("pass", True, "the runner ended with status 0"),
        ("exit(3)", False, "the runner ended with status 3"),
        (
            "import sys; print('why', file=sys.stderr); exit(1)",
            False,
            "the runner ended with status 1\n  why",
        ),
    ],
)
async def test_a_death_is_reported_with_its_cause(
    engine: EngineForTests,
    tmp_path: Path,
    script: str,
    orderly: bool,  # noqa: FBT001 -- parametrized
    reason: str,
) -> None:
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            assert await runtime.run(await scripted(tmp_path, script)) == Death(orderly, reason)
    assert containers(engine.engine, tmp_path.name) == []


async def test_a_container_without_memory_dies_of_that(engine: EngineForTests, tmp_path: Path) -> None:
    spec = await scripted(tmp_path, "x = bytearray(200 << 20)", limits=Limits(memory_bytes=64 << 20))
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            death = await runtime.run(spec)
    assert type(death) is Death
    assert death.reason.startswith("the runner's container ran out of memory; raise [sandbox] memory")


async def test_a_program_that_is_missing_is_a_failed_start(engine: EngineForTests, tmp_path: Path) -> None:
    spec = evolve(await make_session(tmp_path), command=("no-such-program",))
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            with pytest.raises(StartFailed, match=r"refused the container: .*no-such-program") as failed:
                await runtime.run(spec)
    assert not isinstance(failed.value, NotNow)
    assert containers(engine.engine, tmp_path.name) == []


async def test_messages_wait_for_an_image_that_is_missing(engine: EngineForTests, tmp_path: Path) -> None:
    spec = await make_session(tmp_path)
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name, image=MISSING) as runtime:
            with pytest.raises(NotNow, match="nanoclaw image build"):
                await runtime.run(spec)
        async with served(engine, tmp_path.name) as runtime:
            with pytest.raises(NotNow, match="nanoclaw image build"):
                await runtime.run(evolve(spec, image=MISSING))


@define(eq=False)
class Log:
    """Collects log events."""

    events: list[tuple[str, dict[str, object]]]

    def log(self, _level: int, event: str, **fields: object) -> None:
        self.events.append((event, fields))


async def test_its_output_is_logged_for_its_session(
    engine: EngineForTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; print('to stderr', file=sys.stderr); print('to stdout')"
    seen = list[tuple[str, dict[str, object]]]()
    monkeypatch.setattr(stderr, "_log", Log(seen))
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            await runtime.run(await scripted(tmp_path, script))
    assert sorted(str(fields["line"]) for _, fields in seen) == ["to stderr", "to stdout"]
    assert {fields["session"] for _, fields in seen} == {"sess-1"}


async def test_a_runner_that_is_killed_leaves_no_container(engine: EngineForTests, tmp_path: Path) -> None:
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            async with running(runtime, await scripted(tmp_path, "import time; time.sleep(1000)")) as runner:
                with engine.engine.client() as client:
                    client.kill(runner.container_id, "SIGKILL")
                await runner.ended.wait()
            assert containers(engine.engine, tmp_path.name) == []


async def test_orphans_of_a_runner_are_reaped_and_end_with_it(engine: EngineForTests, tmp_path: Path) -> None:
    """A double fork leaves a process to the container's first one."""
    script = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(1000)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            assert (await runtime.run(await scripted(tmp_path, script))).orderly
    assert containers(engine.engine, tmp_path.name) == []
