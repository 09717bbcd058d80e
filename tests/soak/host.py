"""One life of the host, as a process of its own: real threads, real runners, the channel to the network.

It ends when the network asks it to finish and nothing is open any more, unless it is killed before.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal

import apsw
import trio
from attrs import Factory, define, field

from nanoclaw.host import Seams, open_host
from nanoclaw.logs import configure_logging
from nanoclaw.records import Address
from nanoclaw.runtimes import Runner, RunnerSpec, Runtime, RuntimeWrapper
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.runtimes.protocol import Death
from nanoclaw.runtimes.supervised import SupervisedProcess
from nanoclaw.store.engine.connections import open_readonly
from nanoclaw.testing import wire
from tests.host.homes import config
from tests.soak.channel import CHANNEL, SoakChannel, Wanted
from tests.soak.killing import KillingExecutor, KillingFiles
from tests.soak.lifeline import end_with_parent
from tests.soak.places import Places
from tests.soak.plan import CHATS, HostKill, Plan, RunnerKill

BASE_S = 0.05
BACKOFF_S = (BASE_S,) * 8
SOON = "(kind <> 'task' OR process_after < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+5 minutes'))"
KILLING_RUNNER = Path(__file__).parents[1] / "host" / "killing_runner.py"


def live(places: Places, plan: Plan, life: int) -> None:
    """Run the host. `plan.host_kills[life]` says how it ends, if planned."""
    log = os.open(places.host_log(life), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    configure_logging("info", human=False)
    trio.run(_live, places, plan, life)


def prepare(home: Path) -> None:
    """Make a home in which all chats are wired and nobody has spoken."""
    configure_logging("error", human=False)
    trio.run(_prepare, home)


async def _prepare(home: Path) -> None:
    async with open_host(config(home)) as host:
        for chat in CHATS:
            await wire(host, Address(CHANNEL, chat))


async def _live(places: Places, plan: Plan, life: int) -> None:
    kill = plan.host_kills[life] if life < len(plan.host_kills) else None
    executor = KillingExecutor(f"{kill.how}:{kill.n:.0f}" if kill else "never")
    files = KillingFiles(kill.n) if kill and kill.how == "hot" else None
    runtime = Hunted(places, plan)
    deliveries = Deliveries(kill, runtime.delivery_begun)
    channel = SoakChannel(
        places.socket, plan.repeat, partial(_rest, places.home, executor), deliveries.happen
    )
    settings = config(
        places.home,
        retry={"base_s": BASE_S},
        runtime={"backoff_s": BASE_S},
        delivery={"backoff_s": BACKOFF_S},
    )
    seams = Seams(executor=executor, runtime=runtime)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_with_parent)
        async with open_host(settings, channels=[channel], seams=seams):
            await channel.finished.wait()
        nursery.cancel_scope.cancel()
    places.kills.note("lived", commits=executor.begun)
    del files  # SQLite's, until here


@define(eq=False)
class Deliveries:
    """Counts deliveries and, if planned, kills this process in the middle of one."""

    kill: HostKill | None
    begun: Callable[[], None]
    """Called at each, before the network is asked."""
    count: int = 0

    def happen(self, when: Literal["asking", "asked"]) -> None:
        self.count += when == "asking"
        if self.kill and self.kill.how == when and self.kill.n <= self.count:
            os.kill(os.getpid(), signal.SIGKILL)
        if when == "asking":
            self.begun()


# -- rest ----------------------------------------------------------------------


async def _rest(home: Path, executor: KillingExecutor, wanted: Wanted) -> None:
    """Return when nothing is open but tasks (`finish`: tasks neither)."""
    while True:
        committed = executor.committed
        if not await trio.to_thread.run_sync(open_work, home, wanted):
            break
        await committed.wait()


def open_work(home: Path, wanted: Wanted) -> list[tuple[str, int, int]]:
    """Return the open messages and deliveries, by session."""
    files = sorted(home.glob("data/sessions/*/*/inbound/inbound.db"))
    found = [(file.parents[1].name, *_open_in(file, wanted)) for file in files]
    return [one for one in found if any(one[1:])]


def _open_in(file: Path, wanted: Wanted) -> tuple[int, int]:
    which = SOON if wanted == "finish" else "kind <> 'task'"
    with closing(open_readonly(file)) as connection:
        connection.set_busy_timeout(5000)
        try:
            return (
                _count(
                    connection, f"messages_in WHERE status IN ('pending', 'paused') AND trigger AND {which}"
                ),
                _count(connection, "deliveries WHERE status <> 'final'"),
            )
        except apsw.SQLError:  # it has no schema yet
            return 0, 0


def _count(connection: apsw.Connection, what: str) -> int:
    return int(str(connection.execute(f"SELECT count(*) FROM {what}").get))  # noqa: S608 -- ours


# -- runners -------------------------------------------------------------------


@define(eq=False)
class Hunted(RuntimeWrapper):
    """The process runtime, some of whose runners are killed as the plan has it, whichever host lives."""

    places: Places
    plan: Plan
    runtime: Runtime = field(init=False)
    _living: dict[int, SupervisedProcess] = Factory(dict)
    _deliveries: int = 0
    _left: list[RunnerKill] = field(init=False)
    _random: Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.runtime = ProcessRuntime(command=self._command())
        done = len(self.places.kills.read("runner"))
        self._left = list(self.plan.runner_kills[done:])
        self._random = Random(f"runners {self.plan.seed} {done}")

    def _command(self) -> tuple[str, ...] | None:
        kill, died = self.plan.runner_commit, self.places.runner_died
        return (sys.executable, "-P", str(KILLING_RUNNER), str(died), kill) if kill else None

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        hunted, outer = self, task_status
        async with trio.open_nursery() as nursery:

            class Status(trio.TaskStatus[Runner]):
                def started(self, value: Runner) -> None:
                    assert isinstance(value, ProcessRunner)
                    hunted._living[value.process.pid] = value.process
                    nursery.start_soon(hunted._hunt, value.process)
                    outer.started(value)

            death = await self.runtime.run(spec, task_status=Status())
            nursery.cancel_scope.cancel()
        return death

    def delivery_begun(self) -> None:
        """A delivery is about to be made: the moment of those who are to be killed at one."""
        self._deliveries += 1
        if self._left and self._left[0].how == "delivery" and self._left[0].n <= self._deliveries:
            living = [process for process in self._living.values() if process.returncode is None]
            if living:
                self._kill(self._random.choice(living))

    async def _hunt(self, process: SupervisedProcess) -> None:
        if self._left and self._left[0].how == "time":
            kill = self._left[0]
            await trio.sleep(kill.n)
            if self._left and self._left[0] is kill:
                self._kill(process)

    def _kill(self, process: SupervisedProcess) -> None:
        if process.returncode is None:
            kill = self._left.pop(0)
            self.places.kills.note("runner", how=kill.how, n=kill.n, pid=process.pid)
            os.kill(process.pid, signal.SIGKILL)
