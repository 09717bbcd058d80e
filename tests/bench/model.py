"""Turns with a model that answers at once: the overhead of NanoClaw, and the start and memory of runners."""

import json
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

import apsw
import httpx2
import trio
from attrs import define, field

from actors import Policy
from nanoclaw.channels.terminal.desk import Speaker
from nanoclaw.channels.terminal.terminal import CHAT as TERMINAL_CHAT
from nanoclaw.channels.terminal.terminal import Terminal
from nanoclaw.config.model import ModelConfig
from nanoclaw.gateway import Caller, HttpServers, Model, NoMeter, Proxy, SessionModels, open_gateway
from nanoclaw.registry import WireChat
from nanoclaw.system.supervision import Supervision
from nanoclaw.testing.models import FakeModel, ModelAnswer, ModelRequest, open_fake_model
from tests.bench.model_program import model_program
from tests.bench.roundtrip import Floor
from tests.bench.wired import BenchHost, wired_host

TURNS = 60
STARTS = 5
REQUESTS = 80
PAUSE_S = (0.01, 0.05)
PROVIDERS = ("echo", "scripted", "anthropic", "openai", "claude")
QUESTION = {"model": "fake-model", "messages": [{"role": "user", "content": "hello"}]}
Line = tuple[str, float, str]


def run() -> list[Line]:
    lines = [trio.run(_turns), trio.run(_first_tokens), trio.run(_requests)]
    for name in PROVIDERS:
        if name != "claude" or find_spec("claude_agent_sdk"):
            starts, rss = zip(*[trio.run(_start, name) for _ in range(STARTS)], strict=True)
            lines += [
                (f"runner_start_{name}", median(starts), "ms"),
                (f"runner_rss_{name}", median(rss), "MiB"),
            ]
    return lines


# -- a turn ------------------------------------------------------------------------


async def _turns() -> Line:
    """Measure turns from message to delivery, without the model, beside the bare commits of a turn.

    The model's own time is the processor time of its program. It waits for nothing else.
    """
    random, trips, floors = Random(1), list[float](), list[float]()
    async with model_program() as model, wired_host(model=_asking(model.url)) as bench:
        floor = Floor(bench.home / "floor", _kept_of_model)
        for n in range(TURNS + 5):
            await trio.sleep(random.uniform(*PAUSE_S))
            before = model.cpu_s
            trip = await bench.round_trip() - (model.cpu_s - before)
            await trio.sleep(random.uniform(*PAUSE_S))
            start = trio.current_time()
            floor.commit()
            if n >= 5:
                trips.append(trip)
                floors.append(trio.current_time() - start)
    return "turn_overhead_p50", (median(trips) - median(floors)) * 1e3, "ms"


def _kept_of_model(outbound: apsw.Connection, n: int) -> None:
    """Write the rows that only the outcome of a turn with a model has: its history and its usage."""
    now, words = "2026-01-01T00:00:00.000Z", f"<messages><message>message {n}</message></messages>"
    kept = json.dumps({"v": 1, "messages": [{"asked": [words]}, {"said": "hello", "calls": []}]})
    outbound.execute("INSERT INTO session_state VALUES (?, ?, ?)", (f"history/{n:06}", kept, now))
    used = {"provider": "openai", "model": "fake-model", "input_tokens": 1, "output_tokens": 1}
    outbound.execute("INSERT INTO events (at, kind, data) VALUES (?, 'usage', ?)", (now, json.dumps(used)))


def _asking(url: str, provider: str = "openai") -> ModelConfig:
    base = url if provider in {"anthropic", "claude"} else f"{url}/v1"
    return ModelConfig(provider, "fake-model", base)


# -- the first token ---------------------------------------------------------------


@define(eq=False)
class _Screen:
    """A front end that says each line it is sent, and notes when it is shown the beginning of an answer."""

    lines: trio.MemoryReceiveChannel[str]
    drafted_at: float = 0.0
    drafted: trio.Event = field(factory=trio.Event)
    shown: trio.Event = field(factory=trio.Event)

    async def read(self, speaker: Speaker, /) -> None:
        async for line in self.lines:
            await speaker.say(line)

    async def show(self, text: str) -> None:
        del text
        await trio.lowlevel.checkpoint()
        self.shown.set()

    def typing(self, *, on: bool) -> None:
        """Ignore it."""

    def draft(self, text: str) -> None:
        if text and not self.drafted.is_set():
            self.drafted_at = trio.current_time()
            self.drafted.set()


@define(eq=False)
class _Words:
    """A model whose answers wait after their first words."""

    began_at: float = 0.0
    go_on: trio.Event = field(factory=trio.Event)

    def answer(self, _request: ModelRequest) -> ModelAnswer:
        self.began_at = trio.current_time()
        return ModelAnswer("the first words, and the rest", between=self.go_on)


async def _first_tokens() -> Line:
    """Measure the time from a model's first token to the terminal."""
    delays, words = list[float](), _Words()
    said, lines = trio.open_memory_channel[str](1)
    screen = _Screen(lines)
    terminal = Terminal(screen, Random(1))
    async with (
        open_fake_model(words.answer) as model,
        wired_host(terminal, model=_asking(model.url)) as bench,
        said,
    ):
        await bench.host.registry.ask(WireChat(TERMINAL_CHAT, "agent", "public"))
        terminal.open(partial(bench.host.answering, TERMINAL_CHAT))
        for n in range(TURNS // 2):
            screen.drafted, screen.shown, words.go_on = trio.Event(), trio.Event(), trio.Event()
            await said.send(f"message {n}")
            await screen.drafted.wait()
            words.go_on.set()
            await screen.shown.wait()
            if n:  # the first one starts the runner
                delays.append(screen.drafted_at - words.began_at)
    return "first_token_overhead_p50", median(delays) * 1e3, "ms"


# -- a request ---------------------------------------------------------------------


async def _requests() -> Line:
    """Measure requests through the gateway beside the same requests without it."""
    direct, through = list[float](), list[float]()
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(open_fake_model(ModelAnswer("hello")))
        home = Path(stack.enter_context(TemporaryDirectory(prefix="nanoclaw-bench-")))
        door = await _door(stack, model, home / "gateway" / "model.sock")
        own = await stack.enter_async_context(httpx2.AsyncClient(base_url=f"{model.url}/v1"))
        for _ in range(REQUESTS):
            direct.append(await _timed(own, "/chat/completions"))
            through.append(await _timed(door, "http://gateway/model/chat/completions"))
    return "gateway_overhead_p50", (median(through) - median(direct)) * 1e3, "ms"


async def _door(stack: AsyncExitStack, model: FakeModel, path: Path) -> httpx2.AsyncClient:
    """Open a gateway with one door, and return a client of it."""
    supervision, models = Supervision(Random(1)), HttpServers()
    stack.push_async_callback(models.aclose)
    root = await stack.enter_async_context(supervision.open("bench", under=None, policy=Policy()))
    proxy = Proxy(models, NoMeter())
    gateway = await stack.enter_async_context(open_gateway(proxy, supervision, under=root))
    first = Model("openai", "fake-model", f"{model.url}/v1", None, 100, 60.0)
    await stack.enter_async_context(gateway.door(path, Caller("session", "agent", SessionModels(first))))
    transport = httpx2.AsyncHTTPTransport(uds=str(path))
    return await stack.enter_async_context(httpx2.AsyncClient(transport=transport))


async def _timed(client: httpx2.AsyncClient, url: str) -> float:
    start = trio.current_time()
    response = await client.post(url, json=QUESTION)
    response.raise_for_status()
    return trio.current_time() - start


# -- a runner ----------------------------------------------------------------------


async def _start(provider: str) -> tuple[float, float]:
    """Return the time of the first answer of a new session in ms, and the memory of its runner in MiB."""
    async with open_fake_model(ModelAnswer("hello")) as model:
        asking = (
            _asking(model.url, provider) if provider not in {"echo", "scripted"} else ModelConfig(provider)
        )
        async with wired_host(model=asking) as bench:
            if provider == "scripted":
                _write_script(bench)
            seconds = await bench.round_trip()
            return seconds * 1e3, max(_rss_mib(pid) for pid in _runners(bench.home))


def _write_script(bench: BenchHost) -> None:
    workspace = bench.home / "groups" / "main" / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "script.json").write_text('[{"text": "hello"}]')


def _runners(home: Path) -> Iterator[int]:
    """Yield the runner of a home, and what it has started in its own process group."""
    mark = f"SESSION_OUTBOUND_DB_PATH={home}".encode()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):
                if mark in (process / "environ").read_bytes() and _is_runner(process):
                    yield int(process.name)


def _is_runner(process: Path) -> bool:
    return b"claude_agent_sdk" not in (process / "cmdline").read_bytes()


def _rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
