"""The runtime that answers while a real engine builds its first image, and how it hands over."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from attrs import Factory, define

from nanoclaw.config.tables import RuntimeConfig, SandboxConfig
from nanoclaw.host import Seams, open_host
from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import Limits, Packages, RunnerSpec
from nanoclaw.runtimes.bubblewrap import BubblewrapConfig, BubblewrapRuntime
from nanoclaw.runtimes.docker.building import EngineBuilder
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.meanwhile import for_another, other_runtimes, working
from nanoclaw.runtimes.docker.runtime import DockerRuntime
from nanoclaw.runtimes.factory import RuntimeContext
from nanoclaw.runtimes.images import Build, Images, Recipe
from nanoclaw.runtimes.images.building import ReportProgress
from nanoclaw.runtimes.protocol import ReportsUnhonoured
from nanoclaw.testing import FakeChannel, wire
from tests.docker_runtime.docker_homes import GUARD_S, config, containers, install_of
from tests.docker_runtime.image_homes import wheels, with_base
from tests.engine.agent_image import BASE
from tests.engine.private_engine import PrivateEngine
from tests.sandbox.needed import need_bubblewrap

pytestmark = pytest.mark.slow


@define(eq=False)
class HeldBuilder:
    """A real builder that begins when it is told to."""

    builder: EngineBuilder
    go: trio.Event = Factory(trio.Event)

    async def images(self) -> Mapping[str, float]:
        return await self.builder.images()

    async def build(self, wanted: Build, report: ReportProgress) -> None:
        await self.go.wait()
        await self.builder.build(wanted, report)


async def test_bubblewrap_answers_until_the_image_is_built_and_a_container_after_that(
    tmp_path: Path, bare_engine: PrivateEngine
) -> None:
    need_bubblewrap()
    with_base(bare := bare_engine)
    connection, channel = Engine(str(bare.socket)), FakeChannel()
    builder = HeldBuilder(EngineBuilder(connection))
    recipe = Recipe(BASE, (), wheels(tmp_path / "wheels", real=True), "none")
    images = Images(builder, recipe)
    runtime = DockerRuntime(connection, 0.5, images=images, meanwhile=[BubblewrapRuntime(grace_s=0.5)])
    home = tmp_path / "home"
    async with open_host(
        config(home, bare.socket, None), channels=[channel], seams=Seams(runtime=runtime)
    ) as host:
        with trio.fail_after(5 * GUARD_S):
            await wire(host, channel.address())
            await channel.say("hello", event_id="e1")
            await channel.reply_to("e1")
            assert containers(bare, install := await install_of(host)) == []
            assert "the image of all agents is being built" in str((await host.status()).runtime_state)
            builder.go.set()
            await images.came.wait()
            await channel.say("hello again", event_id="e2")
            await channel.reply_to("e2")
            assert len(containers(bare, install)) == 1
            assert (await host.status()).runtime_state == f"the container engine answers at {bare.socket}"
    assert {await channel.wait_settled(each) for each in ("e1", "e2")} == {"completed"}


async def test_chat_tools_alone_answer_where_bubblewrap_does_not_work(tmp_path: Path) -> None:
    context = RuntimeContext("docker", tmp_path, SandboxConfig(), RuntimeConfig())
    bubblewrap, process = other_runtimes(context)
    assert (bubblewrap.name, process.name) == ("bubblewrap", "process")
    missing = BubblewrapRuntime(BubblewrapConfig(str(tmp_path / "bwrap")))
    assert await working([missing, process]) is process
    assert await working([missing]) is None


def test_chat_tools_alone_get_nothing_that_needs_a_sandbox(tmp_path: Path) -> None:
    [process] = [
        each
        for each in other_runtimes(RuntimeContext("docker", tmp_path, SandboxConfig(), RuntimeConfig()))
        if each.name == "process"
    ]
    wanted = RunnerSpec(
        "sess-1",
        SessionPaths(tmp_path),
        tmp_path,
        "echo",
        {},
        image="mine:1",
        web=True,
        limits=Limits(1 << 30),
        packages=Packages(apt=("jq",), pip=("rich",)),
    )
    given = for_another(process, wanted)
    assert isinstance(process, ReportsUnhonoured)
    assert list(process.unhonoured(wanted)) != []
    assert list(process.unhonoured(given)) == []
    assert not given.web
