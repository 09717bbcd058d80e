"""A hostile agent in a container troubles its own session alone."""

import json
from pathlib import Path

import pytest
import trio
from attrs import evolve

from nanoclaw.config import Config
from nanoclaw.testing.conformance import make_session
from tests.docker_runtime.docker_homes import config
from tests.docker_runtime.serving import running, served
from tests.engine.fixtures import EngineForTests
from tests.hostile.stage import GUARD_S, TROUBLES, until
from tests.hostile.troubled import READY, bears_a_storm, bears_events, bears_locks, bears_other_things

PYTHON = ("python3", "-I")
BELOW_INIT = """
import os, runpy, sys
from agent_runner.init import fork_below_init
fork_below_init(os.environ)
sys.argv[1:] = ["outlive"]
runpy.run_path("/workspace/agent/troubles.py", run_name="__main__")
"""
"""The start of an agent's program as a child of the first process, which is that of all runners."""

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(engine: EngineForTests, tmp_path: Path) -> Config:
    bounds = {"sandbox.memory": "256M", "sandbox.processes": 64}
    return config(tmp_path, engine.socket, engine.image, **bounds)


async def test_locks_on_every_file_cost_its_session_alone(settings: Config) -> None:
    await bears_locks(settings, PYTHON)


async def test_a_flood_of_file_events_delays_nobody(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bears_events(settings, PYTHON, monkeypatch)


async def test_other_things_in_the_place_of_files_harm_nobody(settings: Config) -> None:
    await bears_other_things(settings, PYTHON)


async def test_a_storm_of_processes_and_memory_delays_nobody(settings: Config) -> None:
    await bears_a_storm(settings, PYTHON)


async def test_an_agent_that_detaches_itself_ends_soon_after_its_host(
    engine: EngineForTests, tmp_path: Path
) -> None:
    spec = evolve(await make_session(tmp_path), command=("python3", "-c", BELOW_INIT))
    (spec.workspace / TROUBLES.name).write_bytes(TROUBLES.read_bytes())
    told = spec.workspace / READY
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name, lifeline_s=1.0) as runtime:
            async with running(runtime, spec) as runner:
                await until(told.exists)
                runner.host_is_dead = True
            with engine.engine.client() as client:
                await trio.to_thread.run_sync(client.wait, runner.container_id)
    assert json.loads(told.read_text("utf-8"))["first"] == [None] * 3
