"""The images of agents with packages, by a real engine and without a network."""

from pathlib import Path

import pytest
import trio
from attrs import evolve

from nanoclaw.runtimes import Packages, StartFailed
from nanoclaw.runtimes.docker.building import EngineBuilder
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.runtime import DockerRuntime
from nanoclaw.runtimes.images import Images, Recipe
from tests.docker_runtime.docker_homes import GUARD_S
from tests.docker_runtime.serving import death_of, scripted
from tests.engine.fixtures import EngineForTests
from tests.sandbox.parcels import wheel

pytestmark = pytest.mark.slow

SCRIPT = """
import subprocess
try:
    import greeting
    print(subprocess.run(["greeting-version"], capture_output=True, text=True, check=True).stdout)
except ImportError:
    raise SystemExit(3)
"""
GREETING, MORE = Packages(pip=("greeting",)), Packages(pip=("greeting", "nowhere_to_be_found"))


async def test_an_agent_gets_its_packages_when_they_are_there_and_keeps_them_when_the_next_ones_fail(
    tmp_path: Path, engine: EngineForTests
) -> None:
    wheel(tmp_path, "greeting")
    connection = Engine(str(engine.socket))
    recipe = Recipe(wheels=tmp_path, build_network="none")
    images = Images(EngineBuilder(connection), recipe, configured=engine.image)
    runtime = DockerRuntime(connection, grace_s=0.5, images=images)
    spec = evolve(await scripted(tmp_path / "home", SCRIPT), packages=GREETING)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(2 * GUARD_S):
            nursery.start_soon(runtime.serve, f"install-{tmp_path.name}")
            await runtime.watch.asked.wait()
            assert "status 3" in (await death_of(runtime, spec)).reason, (
                "it started before its image was there"
            )
            await images.idle()
            assert (await death_of(runtime, spec)).orderly
            assert (await death_of(runtime, evolve(spec, packages=MORE))).orderly, "with the earlier image"
            await images.idle()
            assert runtime.state.ready
            assert "No matching distribution found for nowhere_to_be_found" in runtime.state.text
            assert (await death_of(runtime, evolve(spec, packages=MORE))).orderly
        nursery.cancel_scope.cancel()


async def test_an_image_is_built_before_its_agent_wants_it(tmp_path: Path, engine: EngineForTests) -> None:
    wheel(tmp_path, "greeting")
    connection = Engine(str(engine.socket))
    images = Images(
        EngineBuilder(connection), Recipe(wheels=tmp_path, build_network="none"), configured=engine.image
    )
    runtime = DockerRuntime(connection, grace_s=0.5, images=images)
    spec = evolve(await scripted(tmp_path / "home", SCRIPT), packages=GREETING)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(2 * GUARD_S):
            nursery.start_soon(runtime.serve, f"install-{tmp_path.name}")
            await runtime.prepare(spec)
            assert (await death_of(runtime, spec)).orderly, "the first start has it"
            with pytest.raises(StartFailed, match="No matching distribution found for nowhere_to_be_found"):
                await runtime.prepare(evolve(spec, packages=MORE))
        nursery.cancel_scope.cancel()
