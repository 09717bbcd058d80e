"""The web of a sandbox: a large download through the runner's port and the gateway, beside one without.

Server, port, gateway and client are processes of their own, as they are in use. The tunnel carries what HTTPS
would, without the time for encryption, which both sides would have.
"""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

import trio

from actors import Policy, Supervisor
from nanoclaw.gateway import HttpServers, Proxy, SiteKeeper, WebCaller, WebProxy, open_gateway
from nanoclaw.records.network import NetworkRule
from nanoclaw.registry import Changes, registry_recipe
from nanoclaw.store import ThreadExecutor, open_reader
from nanoclaw.system.clock import SystemClock
from nanoclaw.system.supervision import Supervision
from nanoclaw.testing import FakeInternet
from tests.approvals.catalogues import a_catalogue

SIZE = 50_000_000
ROUNDS = 7
SERVER = f"""
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
block = bytes(1_000_000)
while True:
    client, _ = listener.accept()
    with client:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: {SIZE}\\r\\n\\r\\n")
        for _ in range({SIZE} // len(block)):
            client.sendall(block)
"""
PORT = """
import sys, trio
from pathlib import Path
from agent_runner.config import RunnerConfig
from agent_runner.log import Log
from agent_runner.sockets.web import open_web
async def main():
    environment = {}
    config = RunnerConfig(web_socket=Path(sys.argv[1]), sandboxed=True)
    async with open_web(config, environment, Log(print)):
        print(environment["HTTP_PROXY"], flush=True)
        await trio.sleep_forever()
trio.run(main)
"""
Line = tuple[str, float, str]


async def proxy_throughput() -> Line:
    """Return the line of the throughput through the proxy, as a part of that without it."""
    direct, through = list[float](), list[float]()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="nanoclaw-bench-"))
        port = await stack.enter_async_context(_program(SERVER))
        path = await stack.enter_async_context(_door(Path(folder), int(port)))
        proxy = await stack.enter_async_context(_program(PORT, str(path)))
        for _ in range(ROUNDS):
            direct.append(await _download(f"http://127.0.0.1:{port}/"))
            through.append(await _download("http://example.org/", "--proxytunnel", "--proxy", proxy))
    return "proxy_throughput_ratio", median(direct) / median(through), "of that without it"


@asynccontextmanager
async def _program(code: str, *arguments: str) -> AsyncIterator[str]:
    """Run a program, and yield the first line that it prints."""
    async with trio.open_nursery() as nursery:
        command = [sys.executable, "-c", code, *arguments]
        start = partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
        process: trio.Process = await nursery.start(start)
        assert process.stdout is not None
        yield bytes(await process.stdout.receive_some(200)).decode().strip()
        nursery.cancel_scope.cancel()


async def _download(url: str, *options: str) -> float:
    """Return the seconds that curl takes to get everything."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{time_total} %{size_download}", *options, url]
    done = await trio.run_process(command, capture_stdout=True)
    seconds, size = done.stdout.decode().split()
    assert int(size) == SIZE, f"{size} bytes of {SIZE} came"
    return float(seconds)


@asynccontextmanager
async def _door(home: Path, port: int) -> AsyncIterator[Path]:
    """Open a gateway with one door to the web, where example.org is a port on loopback."""
    supervision, models, changes = Supervision(Random(1)), HttpServers(), Changes()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(models.aclose)
        root = await stack.enter_async_context(supervision.open("bench", under=None, policy=Policy()))
        sites = await stack.enter_async_context(_sites(home / "data", root, changes))
        web = WebProxy(sites, FakeInternet.of({"example.org:80": port}))
        opened = open_gateway(Proxy(models), supervision, under=root, web=web)
        gateway = await stack.enter_async_context(opened)
        path, caller = home / "gateway" / "web.sock", WebCaller("session", "agent", NetworkRule("open"))
        await stack.enter_async_context(gateway.web_door(path, caller))
        yield path


@asynccontextmanager
async def _sites(data: Path, root: Supervisor, changes: Changes) -> AsyncIterator[SiteKeeper]:
    executor, clock = ThreadExecutor(), SystemClock()
    registry = root.start(
        "registry", registry_recipe(data, executor, clock, Random(1), changes, a_catalogue(data.parent))
    )
    await registry.wait_started()
    async with open_reader(data / "v2.db", executor) as central:
        yield SiteKeeper(registry, central, changes)
