"""One round: network and lives of the host as processes, killed as the plan has it, until all is settled."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import trio

from nanoclaw.system.sockets import nameable
from tests.soak import host, network
from tests.soak.places import Places
from tests.soak.plan import Plan

ROUND_S = 40.0
"""Nobody waits this long for anything but a bug."""

# Processes are forked from one that has imported everything and runs nothing: a life begins in milliseconds.
_context = get_context("forkserver")


def preload() -> None:
    """Set the modules which that process imports. Call before the first round."""
    _context.set_forkserver_preload([host.__name__, network.__name__])


class RoundFailed(Exception):
    """A round did not finish; the text says how far it got."""


@contextmanager
def running(program: Callable[..., None], *arguments: Any) -> Iterator[BaseProcess]:
    """Run a process that does not outlive the context."""
    process = _context.Process(target=program, args=arguments, daemon=False)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def make_template(home: Path) -> None:
    """Create a home from which rounds start."""
    with running(host.prepare, home) as process:
        process.join()
    if process.exitcode:
        raise RoundFailed(f"the home could not be made: {process.exitcode}")


async def run_round(template: Path, places: Places, plan: Plan) -> int:
    """Run it; the number of the host's lives.

    Raises:
        RoundFailed: it did not settle, or a host ended by itself.
    """
    await trio.to_thread.run_sync(shutil.copytree, template, places.home)
    with running(network.serve, places, plan):
        await _listening(places.socket)
        with trio.move_on_after(ROUND_S):
            return await _lives(places, plan)
    raise RoundFailed(f"not settled after {ROUND_S:g} s; open: {host.open_work(places.home, 'finish')}")


async def _lives(places: Places, plan: Plan) -> int:
    life = 0
    while await _is_killed(places, plan, life):
        life += 1
    return life + 1


async def _is_killed(places: Places, plan: Plan, life: int) -> bool:
    """Run one life; return whether it ended by a kill and not because all is settled."""
    kill = plan.host_kills[life] if life < len(plan.host_kills) else None
    with running(host.live, places, plan, life) as process:
        with trio.move_on_after(kill.n if kill and kill.how == "time" else float("inf")):
            await _ended(process)
        killed = process.exitcode is None or process.exitcode == -9
    if kill and killed:
        places.kills.note("host", how=kill.how, n=kill.n)
        return True
    if process.exitcode:
        raise RoundFailed(f"the host ended with {process.exitcode}: {places.host_log(life)}")
    return False


async def _ended(process: BaseProcess) -> None:
    await trio.lowlevel.wait_readable(process.sentinel)
    process.join()


async def _listening(socket: Path) -> None:
    with trio.fail_after(ROUND_S):
        while True:
            with suppress(OSError), nameable(socket) as name:
                await (await trio.open_unix_socket(name)).aclose()
                return
            await trio.sleep(0.002)
