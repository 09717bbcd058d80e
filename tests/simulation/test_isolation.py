"""Real clocks, randomness, threads and processes are refused in a simulated world, by file and line."""

# ruff: noqa: PLW0108 -- the functions are looked up when they are called
import importlib
import logging
import multiprocessing
import os
import queue
import random
import re
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic

import pytest
import trio
from attrs import Factory, define

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.testing import ExpectationFailed, NotSimulated, World, simulate
from nanoclaw.testing.world.isolation import Isolation
from nanoclaw.testing.world.virtual_time import EPOCH

OLD_POOL = ThreadPoolExecutor()
"""Its threads may have been started before any world."""
STRAYS: dict[str, Callable[[], object]] = {
    "time.time": lambda: time.time(),
    "time.monotonic": lambda: monotonic(),
    "time.sleep": lambda: time.sleep(0),
    "time.localtime": lambda: time.localtime(),
    "date.today": lambda: date.today(),  # noqa: DTZ011 -- likewise
    "datetime.now": lambda: datetime.now(UTC),
    "random.random": lambda: random.random(),
    "Random.seed": lambda: random.Random(),
    "tempfile": lambda: tempfile.mkdtemp(),
    "os.urandom": lambda: uuid.uuid4(),
    "random._urandom": lambda: secrets.token_hex(8),
    "Thread.start": lambda: threading.Thread(target=print).start(),
    "ThreadPoolExecutor.submit": lambda: OLD_POOL.submit(print),
    "Condition.wait": lambda: (threading.Event().wait(0), queue.Queue().get(timeout=0.001)),
    "select.select": lambda: select.select([], [], [], 0),
    "socket.__init__": lambda: socket.socket(),
    "socket.getaddrinfo": lambda: socket.create_connection(("localhost", 9)),
    "socket.gethostname": lambda: socket.gethostname(),
    "Popen.__init__": lambda: subprocess.run(["/bin/true"], check=False),
    "os.system": lambda: os.system("true"),  # noqa: S605, S607 -- it does not come to that
    "os.fork": lambda: multiprocessing.get_context("fork").Process(target=print).start(),
}
HARMLESS: dict[str, Callable[[], object]] = {
    "a moment told": lambda: (
        time.localtime(0),
        time.gmtime(0),
        time.ctime(0),
        time.strftime("%H", time.gmtime(0)),
    ),
    "a seed": lambda: (random.Random(3).random(), random.Random(x=3)),
    "a seed by name": lambda: random.Random(3).seed(a=4),
    "an event that is set": lambda: _set_event().wait(1),
}


@define
class Drawer:
    """A class whose factory is called by code that attrs generated."""

    source: random.Random = Factory(random.Random)


class Moment(datetime):
    """A custom date class."""


@define
class Sent:
    """A class whose factory is a method of a type written in C."""

    at: datetime = Factory(datetime.now)


kept_now, kept_moment = datetime.now, Moment.now
kept_later: Callable[[], object] = print


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


async def _by_a_nursery(asked: Callable[..., Awaitable[object]], *arguments: object) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked, *arguments)


async def _started(asked: Callable[..., Awaitable[object]], *arguments: object) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(asked, *arguments)
        nursery.cancel_scope.cancel()


BEGUN_BY_TRIO: dict[str, tuple[str, Callable[[], Awaitable[None]]]] = {
    "to_thread.run_sync": ("trio.to_thread.run_sync", lambda: _by_a_nursery(trio.to_thread.run_sync, print)),
    "open_tcp_stream": ("socket.getaddrinfo", lambda: _by_a_nursery(trio.open_tcp_stream, "127.0.0.1", 9)),
    "run_process": ("trio.to_thread.run_sync", lambda: _started(trio.run_process, ["true"])),
}


@pytest.mark.parametrize("name", STRAYS)
async def test_a_real_resource_is_refused_at_its_call_site(world: World, name: str) -> None:
    with pytest.raises(NotSimulated) as refused:
        STRAYS[name]()
    assert f"{Path(__file__)}:" in str(refused.value)
    assert f" {name}() in a simulated world" in str(refused.value)
    world.isolation.refused.clear()


async def test_the_error_names_the_caller_and_not_code_generated_by_attrs(world: World) -> None:
    with pytest.raises(NotSimulated, match=r"test_isolation\.py:\d+: Random\.seed\(\)"):
        Drawer()
    world.isolation.refused.clear()


@pytest.mark.parametrize("name", BEGUN_BY_TRIO)
async def test_threads_and_sockets_of_trio_are_refused_and_the_task_is_named(world: World, name: str) -> None:
    what, ask = BEGUN_BY_TRIO[name]
    with pytest.RaisesGroup(pytest.RaisesExc(NotSimulated), flatten_subgroups=True):
        await ask()
    told = str(world.isolation.refused[0])
    assert f" {what}() in a simulated world" in told
    assert re.search(rf"trio/\w+\.py:\d+, task trio\.{name}, begun beneath {Path(__file__)}:\d+: ", told)
    world.isolation.refused.clear()


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.usefixtures("world")
async def test_deterministic_calls_are_not_refused(name: str) -> None:
    HARMLESS[name]()


async def test_log_records_have_the_virtual_date(world: World) -> None:
    await world.sleep(days=1)
    record = logging.LogRecord("a", logging.INFO, "p", 1, "m", None, None)
    assert record.created == EPOCH.timestamp() + 86_400


@pytest.mark.world(allowed=["tests", "test_isolation"])
@pytest.mark.usefixtures("world")
async def test_an_allowed_package_may_use_the_real_clock() -> None:
    assert time.time() > EPOCH.timestamp()


def test_all_functions_are_restored_after_a_world() -> None:
    before = time.time, random.random, datetime.__dict__["now"], socket.socket.__init__, monotonic
    simulate(lambda world: world.sleep(1), seed=1)
    assert before == (time.time, random.random, datetime.__dict__["now"], socket.socket.__init__, monotonic)
    assert datetime.now(UTC).year > 2000


def test_a_module_imported_in_one_world_is_guarded_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_in_a_world.py").write_text("from time import time\n")
    monkeypatch.syspath_prepend(tmp_path)

    async def looks(_world: World) -> None:
        importlib.import_module("imported_in_a_world").time()

    for _ in range(2):
        with pytest.raises(NotSimulated, match=r"test_isolation\.py:\d+: time\.time\(\)"):
            simulate(looks, seed=1)
    assert importlib.import_module("imported_in_a_world").time() > EPOCH.timestamp()


KEPT: dict[str, Callable[[], object]] = {
    "now": lambda: kept_now(),
    "now of a subclass": lambda: kept_moment(UTC),
    "a field of attrs": lambda: Sent(),
}


@pytest.mark.parametrize("name", KEPT)
async def test_a_clock_function_stored_before_any_world_is_refused(world: World, name: str) -> None:
    with pytest.raises(NotSimulated, match=rf"{__name__.rpartition('.')[2]}\.py:\d+: "):
        KEPT[name]()
    world.isolation.refused.clear()


def test_a_clock_function_stored_between_two_worlds_is_refused_in_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = sys.modules[__name__]

    async def looks(_world: World) -> None:
        module.kept_later()

    monkeypatch.setattr(module, "kept_later", lambda: None)
    simulate(looks, seed=1)
    monkeypatch.setattr(module, "kept_later", datetime.now)
    with pytest.raises(NotSimulated, match=r"datetime\.now\(\)"):
        simulate(looks, seed=1)


def test_ending_one_world_keeps_the_guards_of_another() -> None:
    with Isolation(lambda: EPOCH).up():
        with Isolation(lambda: EPOCH).up():
            pass
        with pytest.raises(NotSimulated):
            time.time()


def test_a_failed_expectation_lists_earlier_refusals() -> None:
    async def brain(_turn: Turn, _tools: Toolbox) -> str:
        try:
            return str(time.time())
        except NotSimulated:
            return "no idea"

    async def scenario(world: World) -> None:
        world.agent(brain=brain)
        ann = world.user("ann")
        chat = await world.direct(ann)
        await ann.says("what time is it?")
        await ann.says("and now?")
        await chat.expect("twelve", within=60)

    with pytest.raises(ExpectationFailed) as failed:
        simulate(scenario, seed=1)
    (note,) = failed.value.__notes__
    assert re.match(r"refused before: \S*test_isolation\.py:\d+: time\.time\(\)", note)


def test_a_brain_that_reads_the_real_clock_fails_the_test_even_if_the_error_is_swallowed() -> None:
    async def brain(_turn: Turn, _tools: Toolbox) -> str:
        return str(time.time())

    async def scenario(world: World) -> None:
        world.agent(brain=brain)
        ann = world.user("ann")
        await world.direct(ann)
        await ann.says("what time is it?")
        await world.sleep(60)

    with pytest.raises(NotSimulated, match=r"test_isolation\.py:\d+: time\.time\(\)"):
        simulate(scenario, seed=1)
