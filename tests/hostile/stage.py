"""A host with a hostile agent in a real sandbox, a neighbour that must not notice it, and things to reach."""

import json
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, evolve

from nanoclaw.config import Config
from nanoclaw.control.address import socket_path
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import SessionPaths
from nanoclaw.records.status import SessionDetails
from nanoclaw.runtimes import Death, Runner, RunnerSpec, RuntimeWrapper, configured_runtime
from nanoclaw.testing import FakeChannel, FakeInternet, wire
from tests.gateway.upstreams import Asked, Reply, open_upstream
from tests.host.homes import crashed
from tests.hostile import attempts, troubles
from tests.hostile.attempts import OWN

GUARD_S = 60.0
"""An upper bound on a hang; nothing waits for it."""
PROGRAM, TROUBLES = Path(attempts.__file__), Path(troubles.__file__)
FACTS, RESULTS = "facts.json", "results.json"
HOSTILE, NEIGHBOUR = "hostile", "neighbour"
VARIABLE = "NANOCLAW_HOSTILE_TEST_KEY"
PUBLIC, REBINDING = "93.184.216.34", "rebinding.example"
SECRET = b"a secret of the host"


@define(eq=False)
class Besieged(RuntimeWrapper):
    """A runtime in which the runner of one agent is another program."""

    command: tuple[str, ...] = ()

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        if spec.environment["NANOCLAW_AGENT_GROUP_NAME"] == HOSTILE:
            spec = evolve(spec, command=self.command)
        return await self.runtime.run(spec, task_status=task_status)


@define(eq=False)
class TrickyInternet(FakeInternet):
    """An internet in which every address leads to a server of the host, and a name changes its address."""

    port: int = 0
    public_port: int = 0
    _asked: int = 0

    async def resolve(self, host: str) -> Sequence[str]:
        """Return what a resolver of the machine would, which also reads addresses in odd forms."""
        await trio.lowlevel.checkpoint()
        self.looked_up.append(host)
        if host == "public.example":
            return (PUBLIC,)
        if host == REBINDING:
            self._asked += 1
            return (PUBLIC,) if self._asked % 2 else ("127.0.0.1",)
        with suppress(OSError):
            return (socket.inet_ntoa(socket.inet_aton(host)),)
        return ("127.0.0.1",)

    async def connect(self, address: str, port: int) -> trio.SocketStream:
        """Connect to the public server for the public address, and to a secret one for all others."""
        self.connected.append((address, port))
        stream = await trio.open_tcp_stream("127.0.0.1", self.public_port if address == PUBLIC else self.port)
        assert isinstance(stream, trio.SocketStream)
        return stream


@define(eq=False)
class Siege:
    """A host with its hostile agent."""

    home: Path
    host: Host
    channel: FakeChannel
    internet: TrickyInternet
    asked: list[Asked]
    facts: dict[str, Any]
    _said: int = 0

    @property
    def workspace(self) -> Path:
        """The workspace of the hostile agent."""
        return self.home / "groups" / HOSTILE / "workspace"

    @property
    def paths(self) -> SessionPaths:
        """The session of the hostile agent."""
        return SessionPaths(next(each for each in self._sessions() if each != self._neighbour))

    async def neighbour_answers(self) -> None:
        """Say something to the other agent, and wait for its answer. No session may have crashed."""
        text = await self._says(NEIGHBOUR)
        assert text in str((await self.channel.reply_to(text)).content)
        assert crashed(self.host, "sessions") == set()

    async def attacks(self, result: str = RESULTS, **facts: Any) -> dict[str, Any]:
        """Start the hostile agent, and return what it tells once it has tried everything."""
        results = self.workspace / result
        (self.workspace / FACTS).write_text(json.dumps({**self.facts, **facts}), "utf-8")
        await self._says(HOSTILE)
        await until(results.exists)
        found: dict[str, Any] = json.loads(results.read_text("utf-8"))
        return found

    async def details(self, fits: Callable[[SessionDetails], object]) -> SessionDetails:
        """Return the details of the hostile agent's session, once they fit."""
        while True:
            details = await self.host.sessions.status(self.paths.root.name, GUARD_S)
            if details is not None and fits(details):
                return details
            await trio.sleep(0.02)

    async def _says(self, chat: str) -> str:
        self._said += 1
        event = f"{chat}-{self._said}"
        await self.channel.say(event, chat=chat, user="ann", event_id=event)
        return event

    def _sessions(self) -> list[Path]:
        return list((self.home / "data" / "sessions").glob("*/*"))

    @property
    def _neighbour(self) -> Path:
        return Path(self.facts["neighbour"])


def all_attempts(settings: Config, interpreter: Sequence[str], sockets: Sequence[str] = ()) -> dict[str, Any]:
    """Make all attempts in one sandbox. Return their results, and what the host saw of them."""

    async def siege() -> dict[str, Any]:
        async with besieged(settings, interpreter) as stage:
            results = await stage.attacks(sockets=[*stage.facts["sockets"], *sockets])
            await stage.neighbour_answers()
            results["connected"] = stage.internet.connected
            results["asked"] = [f"{each.method} {each.target}" for each in stage.asked]
            return results

    return trio.run(siege)


@asynccontextmanager
async def besieged(
    settings: Config, interpreter: Sequence[str], trouble: str | None = None
) -> AsyncIterator[Siege]:
    """Open a host whose agent `hostile` makes all attempts, or a trouble, in the place of its runner."""
    home, key = settings.home, f"sk-hostile-{secrets.token_hex(8)}"
    if trouble is None:
        arguments = [str(OWN / name) for name in (PROGRAM.name, FACTS, RESULTS)]
    else:
        arguments = [str(OWN / TROUBLES.name), trouble]
    command = (*interpreter, *arguments)
    prepare(home)
    internet, channel = TrickyInternet(), FakeChannel()
    runtime = Besieged(configured_runtime(settings), command)
    with trio.fail_after(GUARD_S), pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, key)
        async with open_upstream(shows_its_request) as model, to_reach(home) as reachable:
            internet.port = reachable["port"]
            async with open_upstream(public_page) as public:
                internet.public_port = public.port
                point_at(home, model.url)
                seams = Seams(runtime=runtime, internet=internet)
                async with open_host(settings, channels=[channel], seams=seams) as host:
                    for chat in (HOSTILE, NEIGHBOUR):
                        await wire(host, channel.address(chat), agent=chat)
                    siege = Siege(home, host, channel, internet, model.asked, {})
                    await siege.neighbour_answers()
                    siege.facts.update(reachable, **seen_by(home, siege))
                    yield siege


async def public_page(_asked: Asked, reply: Reply) -> None:
    await reply.whole(b"a public page")


async def shows_its_request(asked: Asked, reply: Reply) -> None:
    """Answer with the whole request, as a server does that shows the key in its error."""
    shown = {"the model's server": asked.target, "shown": dict(asked.headers), "method": asked.method}
    await reply.whole(
        json.dumps(shown).encode(), headers=[("x-debug", asked.headers.get("authorization", ""))]
    )


def prepare(home: Path) -> None:
    """Write the files of both agents."""
    for agent in (HOSTILE, NEIGHBOUR):
        workspace = home / "groups" / agent / "workspace"
        workspace.mkdir(parents=True)
        (workspace / "secret.txt").write_bytes(SECRET)
    for program in (PROGRAM, TROUBLES):
        (home / "groups" / HOSTILE / "workspace" / program.name).write_bytes(program.read_bytes())
    (home / "groups" / NEIGHBOUR / "container.json").write_text('{"provider": "echo"}')


def point_at(home: Path, url: str) -> None:
    """Give the hostile agent a model, and the whole web."""
    model = {"provider": "openai", "name": "m", "baseUrl": url, "key": {"env": VARIABLE}}
    table = {"provider": "openai", "model": model, "network": "open"}
    (home / "groups" / HOSTILE / "container.json").write_text(json.dumps(table))


@asynccontextmanager
async def to_reach(home: Path) -> AsyncIterator[dict[str, Any]]:
    """Open servers of the host on loopback, on an abstract socket and on one in a folder. Yield the facts."""
    abstract, path = f"nanoclaw-hostile-{secrets.token_hex(8)}", home / "server.sock"

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                await stream.receive_some(65536)
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\nsecret of the host")

    tcp = await trio.open_tcp_listeners(0, host="0.0.0.0")  # noqa: S104 -- its own address is one of the attempts
    port = tcp[0].socket.getsockname()[1]
    with suppress(OSError):
        tcp += await trio.open_tcp_listeners(port, host="::1")
    unix = []
    for address in (f"\0{abstract}", str(path)):
        bound = trio.socket.socket(socket.AF_UNIX)
        await bound.bind(address)
        bound.listen()
        unix.append(trio.SocketListener(bound))
    path.chmod(0o666)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, [*tcp, *unix])
        with shared_files(abstract):
            yield {"port": port, "abstract": abstract, "marker": abstract, "addresses": own_addresses()}
        nursery.cancel_scope.cancel()


@contextmanager
def shared_files(name: str) -> Iterator[None]:
    """Keep a file in each folder that all users of a machine share."""
    files = [Path(folder, name) for folder in ("/tmp", "/var/tmp", "/dev/shm")]  # noqa: S108 -- on purpose
    try:
        for file in files:
            file.write_bytes(SECRET)
        yield
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def own_addresses() -> list[str]:
    """Return an address of this machine besides loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        return [str(probe.getsockname()[0])]
    return []


def seen_by(home: Path, siege: Siege) -> dict[str, Any]:
    """Return what the host has besides its servers."""
    [neighbour] = siege._sessions()
    secret = home / "secret.txt"
    secret.write_bytes(SECRET)
    secret.chmod(0o666)
    paths = SessionPaths(neighbour)
    files = [secret, home / "data" / "v2.db", home / "groups" / NEIGHBOUR / "workspace" / "secret.txt"]
    files += [home / "groups" / HOSTILE / "container.json", paths.inbound_db, paths.outbound_db]
    return {
        "files": list(map(str, files)),
        "neighbour": str(neighbour),
        "folder": str(OWN),
        "pid": os.getpid(),
        "pids": [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()],
        "program": " ".join(sys.argv)[:40] if sys.argv[0] else "pytest",
        "sockets": [str(home / "server.sock"), str(socket_path(home / "data"))],
    }


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something outside of this process is so."""
    while not condition():  # noqa: ASYNC110 -- it has no event
        await trio.sleep(0.02)
