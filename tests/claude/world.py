"""A session whose runner asks the real Claude Code, in front of a fake model on loopback."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio
from attrs import define, evolve, field

from agent_runner.background import background
from agent_runner.config import RunnerConfig
from agent_runner.providers.claude import Claude
from agent_runner.providers.mcp_servers import McpServer
from agent_runner.providers.model_settings import ModelSettings
from agent_runner.runner import run_runner
from agent_runner.sockets.unix import listening
from nanoclaw.testing.models import Answers, FakeModel, open_fake_model
from tests.runner.world import World

SETTINGS = ModelSettings(provider="claude", name="fake-model", url="http://gateway/model")
PATIENCE = 60.0


@define(eq=False)
class ClaudeWorld(World):
    """A session with Claude Code. `model` and `second` are the servers behind its gateway."""

    settings: ModelSettings = SETTINGS
    sandboxed: bool = False
    mcp_servers: Mapping[str, McpServer] = field(factory=dict)
    silence_limit: float = 1800.0
    log_lines: list[str] = field(factory=list)

    @property
    def config(self) -> RunnerConfig:
        return evolve(
            super().config,
            model_socket=self.root / "gateway.sock",
            model=self.settings,
            sandboxed=self.sandboxed,
            mcp_servers=self.mcp_servers,
            silence_limit=self.silence_limit,
            provider="claude",
            admin_user_ids=("tg:1",),
        )

    @asynccontextmanager
    async def behind(
        self, answers: Answers, second: Answers = "from the second"
    ) -> AsyncGenerator[FakeModel]:
        """Serve models behind the gateway while the block runs."""
        async with (
            open_fake_model(answers) as model,
            open_fake_model(second) as fallback,
            listening(self.config.model_socket or Path()) as listener,
            background(
                partial(
                    trio.serve_listeners,
                    partial(_pass_on, {"model": model, "fallback": fallback}),
                    [listener],
                )
            ),
        ):
            with trio.fail_after(PATIENCE):
                yield model

    @asynccontextmanager
    async def claude(self) -> AsyncGenerator[None]:
        """Run a runner while the block runs, and end it in order."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_runner, self.config, self.seams(Claude()))
            yield
            nursery.cancel_scope.cancel()

    async def run(self, *ids: str) -> None:
        """Run a runner until these messages are completed."""
        async with self.claude():
            await self.until_acked(*ids)

    @property
    def processes(self) -> list[int]:
        """The living processes of Claude Code that have this session's home."""
        home = f"HOME={self.root / 'outbound' / 'claude'}".encode()
        return [pid for pid in _pids() if home in _environment(pid)]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    with suppress(OSError):
        if b"State:\tZ" not in Path(f"/proc/{pid}/status").read_bytes():
            return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []


def variables(pid: int) -> dict[str, str]:
    """Return the environment of a process."""
    pairs = (os.fsdecode(pair).partition("=") for pair in _environment(pid) if pair)
    return {name: value for name, _, value in pairs}


async def _pass_on(models: dict[str, FakeModel], client: trio.SocketStream) -> None:
    """Stand in for the gateway: `/model/...` leads to the first server, `/fallback/...` to the second."""
    async with client:
        with suppress(trio.BrokenResourceError):
            head = bytes(await client.receive_some(65_536))
            name = head.split(b" ")[1].split(b"/")[1].decode()
            async with await trio.open_tcp_stream(
                "127.0.0.1", int(models[name].url.rpartition(":")[2])
            ) as server:
                await _both_ways(client, server, f"/{name}/".encode(), head)


async def _both_ways(
    client: trio.SocketStream, server: trio.SocketStream, prefix: bytes, head: bytes
) -> None:
    await server.send_all(head.replace(b" " + prefix, b" /"))
    async with trio.open_nursery() as nursery:

        async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                while data := bytes(await source.receive_some(65_536)):
                    await sink.send_all(data.replace(b" " + prefix, b" /") if sink is server else data)
            nursery.cancel_scope.cancel()

        nursery.start_soon(pump, client, server)
        nursery.start_soon(pump, server, client)
