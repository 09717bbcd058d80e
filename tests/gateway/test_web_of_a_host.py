"""The proxy of the web in a real host with real runners: the owner is told, decides, and it holds."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, evolve

from nanoclaw.host import Host, open_host
from nanoclaw.host_parts import Seams
from nanoclaw.recording import Record
from nanoclaw.records import QuestionContent, TextContent
from nanoclaw.runtimes import Death, Runner, RunnerSpec
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.runtimes.wrapper import RuntimeWrapper
from nanoclaw.testing import FakeChannel, FakeInternet, wire
from nanoclaw.testing.replay import replay
from tests.gateway.upstreams import Asked, Reply, open_upstream
from tests.host.homes import GUARD_S, config

RUNNER = (sys.executable, str(Path(__file__).with_name("surfing_runner.py")))


@define(eq=False)
class PretendedSandbox(RuntimeWrapper):
    """Processes that are told that they are in a sandbox. They get the socket that the gateway opened."""

    @property
    def isolates(self) -> bool:
        return True

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        own: Mapping[str, str] = {"NANOCLAW_SANDBOX": "1"}
        if spec.web:
            own = {**own, "NANOCLAW_WEB_SOCKET": str(spec.paths.web_socket)}
        bare = RunnerSpec(spec.session_id, spec.paths, spec.workspace, spec.provider, spec.environment)
        spec = evolve(bare, environment={**spec.environment, **own}, command=spec.command)
        return await self.runtime.run(spec, task_status=task_status)


@define(eq=False)
class Scene:
    """A host, and the chat of its owner with the agent."""

    host: Host
    channel: FakeChannel
    _said: int = 0

    async def says(self, text: str) -> str:
        """Say something, and return the agent's answer."""
        self._said += 1
        await self.channel.say(text, chat="ann", user="ann", event_id=f"{id(self)}-{self._said}")
        return await self.gets(lambda texts: texts[self._said - 1] if len(texts) >= self._said else None)

    async def gets(self, look: Callable[[Sequence[str]], str | None], *, cards: bool = False) -> str:
        """Wait for a text among the agent's answers, or among the cards of the host."""
        while (found := look(self.cards if cards else self.texts)) is None:
            await self.channel.wait_for(len(self.channel.sent) + 1)
        return found

    @property
    def texts(self) -> Sequence[str]:
        """All texts in the owner's chat."""
        return [each.content.text for each in self.channel.sent if isinstance(each.content, TextContent)]

    @property
    def cards(self) -> Sequence[str]:
        """The texts of all cards in the owner's chat."""
        return [each.content.text for each in self.channel.sent if isinstance(each.content, QuestionContent)]


@asynccontextmanager
async def a_scene(
    home: Path, internet: FakeInternet, *, record: Record | None = None, **changes: Any
) -> AsyncIterator[Scene]:
    channel = FakeChannel()
    settings = config(home, **{"runtime.command": RUNNER, **changes})
    seams = Seams(runtime=PretendedSandbox(ProcessRuntime()), internet=internet)
    with trio.fail_after(GUARD_S):
        async with open_host(settings, channels=[channel], seams=seams, record=record) as host:
            await wire(host, channel.address("ann"), agent="main")
            yield Scene(host, channel)


async def page(_asked: Asked, reply: Reply) -> None:
    await reply.whole(b"the page")


async def test_the_owner_is_told_once_and_the_next_try_after_the_permission_works(tmp_path: Path) -> None:
    async with open_upstream(page) as server:
        internet = FakeInternet.of({"example.org:80": server.port})
        async with a_scene(tmp_path, internet) as scene:
            await scene.host.admin.roles.grant("fake:ann", "owner")
            refusals = [await scene.says("http://example.org/"), await scene.says("http://example.org/")]
            card = await scene.gets(lambda texts: texts[0] if texts else None, cards=True)
            await scene.host.admin.network.allow("main", "example.org")
            answer = await scene.says("http://example.org/")
            status = await scene.host.status()
    assert all("the owner has not allowed example.org yet and has been asked" in each for each in refusals)
    assert "The agent main asks to reach example.org" in card
    assert scene.cards == [card]
    assert (answer, status.network) == ("the page", ())


async def test_the_rule_of_the_configuration_and_of_the_agent_hold(tmp_path: Path) -> None:
    async with open_upstream(page) as server:
        internet = FakeInternet.of({"example.org:80": server.port, "python.org:80": server.port})
        rule: dict[str, Any] = {"sandbox.network": ["example.org"]}
        async with a_scene(tmp_path, internet, **rule) as scene:
            found = [await scene.says(f"http://{site}/") for site in ("example.org", "python.org")]
        (tmp_path / "groups" / "main" / "container.json").write_text('{"network": "none"}')
        async with a_scene(tmp_path, internet, **rule) as scene:
            found.append(await scene.says("http://example.org/"))
    assert found[0] == "the page"
    assert "not among the sites of this agent" in found[1]
    assert "no access to the web" in found[2]


async def test_a_recording_with_questions_is_replayed_without_a_sandbox(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    async with a_scene(tmp_path / "home", FakeInternet(), record=Record(folder)) as scene:
        await scene.host.admin.roles.grant("fake:ann", "owner")
        await scene.says("http://example.org/")
        await scene.gets(lambda texts: texts[0] if texts else None, cards=True)
    replayed = await trio.to_thread.run_sync(replay, folder)
    assert list(replayed.differences) == []
    assert any("told  AskForSite" in line for line in replayed.timeline)
