"""Containers: their start and their round trips, beside those of the runtime `process`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import trio

from nanoclaw.host import Seams
from nanoclaw.runtimes import RunnerSpec
from nanoclaw.runtimes.docker.building import EngineBuilder
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.runtime import DockerRuntime
from nanoclaw.runtimes.images import BuildFailed, Images, Recipe
from nanoclaw.testing.conformance import make_session
from nanoclaw.testing.conformance.sessions import until_it_lives
from tests.bench.wired import wired_host
from tests.engine.agent_image import ensure
from tests.engine.base_image import NoPackages
from tests.engine.private_engine import NoEngine, PrivateEngine

Line = tuple[str, float, str]
ROUNDS = 7
MESSAGES = 40
AT_ONCE = 4
STARTS = 12
CACHE = Path(__file__).parents[2] / ".venv" / "engine"


def containers() -> list[Line]:
    """Measure containers. Without an engine there is nothing to measure."""
    try:
        with _engine() as (socket, image, size):
            cold = [trio.run(_first, socket, image) for _ in range(ROUNDS)]
            warm = trio.run(_warm, socket, image)
            rate = trio.run(_started, socket, image)
    except (NoEngine, NoPackages, BuildFailed) as error:
        print(f"no containers are measured: {error}", file=sys.stderr)
        return []
    return [
        ("container_cold_p50", median(cold) * 1e3, "ms"),
        ("container_warm_ratio", warm, "x"),
        ("containers_started", rate, "/s"),
        ("image_size", size / 1e6, "MB"),
    ]


@contextmanager
def _engine() -> Iterator[tuple[Path, str, int]]:
    """Yield the socket of an engine, its image, and the bytes of that. It has no SDKs and no tools."""
    engine = PrivateEngine(Path(f"/tmp/nanoclaw-bench-{os.getpid()}"))  # noqa: S108 -- a socket needs a short path
    try:
        engine.start()
        with engine.client() as client:
            image = ensure(client, CACHE)
            size = int(client.inspect_image(image)["Size"])
        yield engine.socket, image, size
    finally:
        engine.remove()


def _runtime(socket: Path, image: str) -> DockerRuntime:
    engine = Engine(str(socket))
    return DockerRuntime(engine, images=Images(EngineBuilder(engine), Recipe(), configured=image))


async def _first(socket: Path, image: str) -> float:
    """Return the seconds of the first round trip of a session."""
    async with wired_host(seams=Seams(runtime=_runtime(socket, image))) as bench:
        return await bench.round_trip()


async def _warm(socket: Path, image: str) -> float:
    """Return the time of a round trip by that of `process`, in turns."""
    inside, outside = list[float](), list[float]()
    async with wired_host(seams=Seams(runtime=_runtime(socket, image))) as bench, wired_host() as process:
        await bench.round_trip()
        await process.round_trip()
        for _ in range(MESSAGES):
            inside.append(await bench.round_trip())
            outside.append(await process.round_trip())
    return median(inside) / median(outside)


async def _started(socket: Path, image: str) -> float:
    """Return how many containers are up and have taken their lock in a second, `AT_ONCE` at a time."""
    runtime, limit = _runtime(socket, image), trio.CapacityLimiter(AT_ONCE)
    with TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        specs = [await make_session(Path(folder), session=f"sess-{n}") for n in range(STARTS)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.serve, "bench")
            await runtime.watch.asked.wait()
            began = trio.current_time()
            async with trio.open_nursery() as starts:
                for spec in specs:
                    starts.start_soon(_start, runtime, spec, nursery, limit)
            rate = STARTS / (trio.current_time() - began)
            nursery.cancel_scope.cancel()
    return rate


async def _start(
    runtime: DockerRuntime, spec: RunnerSpec, nursery: trio.Nursery, limit: trio.CapacityLimiter
) -> None:
    async with limit:
        await nursery.start(runtime.run, spec)
        await until_it_lives(spec.paths)
