"""The output of containers that the docker runtime keeps for `nanoclaw logs`."""

from pathlib import Path

import pytest
import trio
from attrs import evolve

from nanoclaw.runtimes import NotNow, kept_events
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.kept import LINES
from nanoclaw.runtimes.docker.runtime import DockerRuntime
from tests.docker_runtime.docker_homes import GUARD_S
from tests.docker_runtime.serving import PYTHON, death_of, running, scripted, served
from tests.engine.fixtures import EngineForTests

UP = "open('/workspace/agent/up', 'w').close()"


async def test_the_output_of_a_living_container_and_of_the_dead_one_before_it_is_kept(
    tmp_path: Path, engine: EngineForTests
) -> None:
    noisy = (
        f"import sys\nfor n in range({LINES}): print('noise', n)\nprint('last \\x1b[2J words'); sys.exit(3)"
    )
    alive = f"import time\nprint('alive', flush=True)\n{UP}\ntime.sleep(600)"
    with trio.fail_after(GUARD_S):
        async with served(engine, tmp_path.name) as runtime:
            spec = await scripted(tmp_path, noisy)
            assert not (await death_of(runtime, spec)).orderly
            dead = await kept_events(runtime, spec.session_id)
            assert 1 < len(dead) < LINES
            assert dead[-1].values == {"line": "last \x1b[2J words"}
            async with running(runtime, evolve(spec, command=(*PYTHON, alive))):
                while not (spec.workspace / "up").exists():  # noqa: ASYNC110 -- a container has no event
                    await trio.sleep(0.02)
                both = await kept_events(runtime, spec.session_id)
                assert [*both[:-1]] == dead
                assert both[-1].values == {"line": "alive"}
            assert await kept_events(runtime, "sess-of-nobody") == []


async def test_an_engine_that_is_away_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match="nothing\\.sock"):
        await DockerRuntime(Engine(str(tmp_path / "nothing.sock"))).output("sess-1")
