"""The docker runtime without a host, on a real engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import evolve

from nanoclaw.runtimes import Death, RunnerSpec
from nanoclaw.runtimes.docker.building import EngineBuilder
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.runner import ContainerRunner
from nanoclaw.runtimes.docker.runtime import DockerRuntime
from nanoclaw.runtimes.images import Images, Recipe
from nanoclaw.testing.conformance import make_session
from tests.engine.fixtures import EngineForTests

PYTHON = ("python3", "-c")


@asynccontextmanager
async def served(
    engine: EngineForTests, install_id: str, *, image: str | None = None, **settings: Any
) -> AsyncIterator[DockerRuntime]:
    """Yield a runtime that has asked its engine."""
    connection = Engine(str(engine.socket))
    images = Images(EngineBuilder(connection), Recipe(), configured=image or engine.image)
    runtime = DockerRuntime(connection, grace_s=0.5, images=images, **settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runtime.serve, install_id)
        await runtime.watch.asked.wait()
        yield runtime
        nursery.cancel_scope.cancel()


async def scripted(home: Path, script: str, **changes: Any) -> RunnerSpec:
    """Return a specification whose runner is a script of Python in the container."""
    return evolve(await make_session(home), command=(*PYTHON, script), **changes)


@asynccontextmanager
async def running(runtime: DockerRuntime, spec: RunnerSpec) -> AsyncIterator[ContainerRunner]:
    """Yield a runner. At the end it is stopped."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(runtime.run, spec)
        nursery.cancel_scope.cancel()


async def death_of(runtime: DockerRuntime, spec: RunnerSpec) -> Death:
    """Return the end of a runner that ends by itself."""
    return await runtime.run(spec)


__all__ = ["PYTHON", "death_of", "running", "scripted", "served"]
