"""The docker runtime conforms to the protocol of runtimes, with a real engine."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from nanoclaw.runtimes import Runner
from nanoclaw.runtimes.docker.building import EngineBuilder
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.runner import ContainerRunner
from nanoclaw.runtimes.docker.runtime import DockerRuntime
from nanoclaw.runtimes.images import Images, Recipe
from nanoclaw.testing.conformance import RuntimeUnderTest, make_session, runtime_checks
from nanoclaw.testing.conformance.runtime import CHECKS
from tests.engine.fixtures import EngineForTests

Opens = Callable[[], AbstractAsyncContextManager[RuntimeUnderTest]]


@pytest.fixture
def opens(engine: EngineForTests, tmp_path: Path) -> Opens:
    @asynccontextmanager
    async def opened() -> AsyncIterator[RuntimeUnderTest]:
        runtime = DockerRuntime(
            own := Engine(str(engine.socket)),
            grace_s=2.0,
            images=Images(EngineBuilder(own), Recipe(), configured=engine.image),
        )
        spec, other = await make_session(tmp_path), await make_session(tmp_path, session="sess-2")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.serve, f"conformance-{tmp_path.name}")
            await runtime.watch.asked.wait()
            send = partial(_send, engine)
            yield RuntimeUnderTest(
                runtime,
                spec,
                grace_s=2.0,
                kill=partial(send, number="SIGKILL"),
                hang=partial(send, number="SIGSTOP"),
                host_dies=partial(_die, runtime),
                other=other,
            )
            nursery.cancel_scope.cancel()

    return opened


def _send(engine: EngineForTests, runner: Runner, *, number: str) -> None:
    assert isinstance(runner, ContainerRunner)
    with engine.engine.client() as client:
        client.kill(runner.container_id, number)


def _die(runtime: DockerRuntime) -> None:
    for runner in runtime.runners:
        runner.host_is_dead = True


@pytest.mark.parametrize("name", [check.__name__ for check in CHECKS])
async def test_the_docker_runtime_conforms(opens: Opens, name: str) -> None:
    [check] = [one for one in runtime_checks(opens) if one.name == name]
    assert await check() is None
