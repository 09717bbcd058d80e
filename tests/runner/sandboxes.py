"""A sandboxed runner for tests, without a sandbox around it: its tools are called one after the other."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import trio
from attrs import define, evolve, field

from agent_runner.errors import ToolError
from agent_runner.log import Log
from agent_runner.providers import Toolbox
from agent_runner.providers.mcp_servers import McpServer
from agent_runner.records import Reply, Result, Turn
from agent_runner.runner import run_runner
from tests.runner.world import Script, World

Call = Callable[..., Awaitable[str]]


@define(eq=False)
class Sandbox:
    """Runs turns in which a test calls tools."""

    world: World
    servers: Mapping[str, McpServer] = field(factory=dict)
    sandboxed: bool = True
    lines: list[str] = field(factory=list, init=False)
    """The lines of the runner's log."""
    _logged: trio.Event = field(factory=trio.Event, init=False)
    _seq: int = field(default=0, init=False)

    @property
    def workspace(self) -> Path:
        return self.world.config.workspace

    def file(self, path: str, content: str | bytes = "") -> Path:
        """Write a file of the workspace."""
        found = self.workspace / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(content.encode() if isinstance(content, str) else content)
        return found

    async def turn(self, act: Callable[[Call], Awaitable[None]]) -> None:
        """Run a runner for one turn, in which `act` calls tools. Refusals are texts that begin with `!`."""

        async def take(turn: Turn, tools: Toolbox) -> Result:
            async def call(name: str, /, **arguments: object) -> str:
                try:
                    return await tools.call(name, arguments)
                except ToolError as error:
                    return f"! {error}"

            await act(call)
            return Result((Reply("done", turn.messages[0].id),))

        self._seq += 2
        id_ = self.world.put(self._seq)
        config = evolve(self.world.config, sandboxed=self.sandboxed, mcp_servers=self.servers)
        seams = evolve(self.world.seams(Script(take)), log=Log(self._note))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_runner, config, seams)
            with trio.fail_after(60):
                await self.world.until_acked(id_)
            nursery.cancel_scope.cancel()

    def _note(self, line: str) -> None:
        self.lines.append(line)
        self._logged.set()
        self._logged = trio.Event()

    async def logged(self, event: str, times: int = 1) -> None:
        """Wait until the runner has logged an event so many times."""
        while sum(f'"event": "{event}"' in line for line in self.lines) < times:
            await self._logged.wait()

    async def calls(self, *calls: tuple[str, Mapping[str, object]]) -> list[str]:
        """Call these tools in one turn, and return their results."""
        results: list[str] = []

        async def act(call: Call) -> None:
            for name, arguments in calls:
                results.append(await call(name, **arguments))

        await self.turn(act)
        return results

    async def call(self, name: str, /, **arguments: object) -> str:
        """Call a tool in a turn of its own."""
        return (await self.calls((name, arguments)))[0]


def is_alive(pid: int) -> bool:
    """Return True if a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
