"""Worker processes that take calls and return results. One that dies costs only its call.

A worker never outlives its parent: a thread in it waits for the parent's end. The parent handles SIGINT and
SIGTERM; they are blocked in a worker from its start.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Thread
from typing import Any, Generic, TypeVar

from attrs import Factory, define, frozen

from nanoclaw.testing.world.folders import live_in, temporary_home

T = TypeVar("T")

ENDING = (signal.SIGINT, signal.SIGTERM)
"""The signals that end a campaign early."""
PIPE = 65_536
"""The maximum number of bytes in a pipe."""
KILLED_OUTSIDE = "the process was killed from outside (SIGKILL), as the system does when memory runs out"


class Interrupted(Exception):
    """The error after a signal. There are no more results."""

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(by.name)
        self.by = by


@frozen
class Lost:
    """A call that has no result."""

    why: str


# -- signals ---------------------------------------------------------------------


@define(eq=False)
class Stop:
    """The received signals. They do not interrupt running code."""

    reader: int
    """A file descriptor that is readable while a signal has not been raised as Interrupted."""
    by: signal.Signals | None = None

    def check(self) -> None:
        """Raise Interrupted if a signal was received."""
        if self.by is not None:
            with suppress(BlockingIOError):
                os.read(self.reader, PIPE)
            raise Interrupted(self.by)

    def aside(self, call: Callable[[], None]) -> None:
        """Run a blocking call in a thread. On a signal the thread is abandoned.

        Raises:
            Interrupted: a signal came.
            Exception: the call raised it.
        """
        raised = list[Exception]()
        ended, ending = os.pipe()

        def run() -> None:
            try:
                call()
            except Exception as error:  # noqa: BLE001 -- the caller raises it again
                raised.append(error)
            finally:
                os.close(ending)

        Thread(target=run, daemon=True).start()
        ready = wait([self.reader, ended])
        os.close(ended)
        if ended not in ready:
            self.check()
        for error in raised:
            raise error


@contextmanager
def stopping() -> Iterator[Stop]:
    """Record SIGINT and SIGTERM while the block runs. For the main thread only."""
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    stop = Stop(reader)

    def note(number: int, _frame: object) -> None:
        stop.by = stop.by or signal.Signals(number)

    handlers = {each: signal.signal(each, note) for each in ENDING}
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(before)
        for each, handler in handlers.items():
            signal.signal(each, handler)
        os.close(reader)
        os.close(writer)


# -- processes -------------------------------------------------------------------


@define(eq=False)
class _Worker(Generic[T]):
    process: SpawnProcess
    connection: "Connection[Any, Any]"
    call: Callable[[], T] | None = None


@define(eq=False)
class Workers:
    """At most `most` processes, each started when it is needed. `workers` kills them."""

    most: int
    stop: Stop
    begin: Callable[[], None]
    """The function that each process calls first."""
    place: Path
    """The folder of their files. It is removed at the end."""
    _all: list[_Worker[Any]] = Factory(list)

    def results(self, calls: Iterable[Callable[[], T]]) -> Iterator[tuple[Callable[[], T], T | Lost]]:
        """Yield each call with its result, as results come. Calls and results are pickled.

        Raises:
            Interrupted: a signal came.
        """
        waiting = iter(calls)
        while self._give(waiting):
            ready = wait([self.stop.reader, *(worker.connection for worker in self._busy())])
            self.stop.check()
            for worker in [worker for worker in self._busy() if worker.connection in ready]:
                yield self._result(worker)

    def _busy(self) -> list[_Worker[Any]]:
        return [worker for worker in self._all if worker.call is not None]

    def _give(self, waiting: Iterator[Callable[[], T]]) -> bool:
        """Give each worker a call; return whether any worker has one."""
        while len(self._busy()) < self.most and (call := next(waiting, None)) is not None:
            self.stop.check()
            worker = self._idle() or self._start()
            worker.call = call
            with suppress(OSError):  # it has died; `_result` reports that
                worker.connection.send(call)
        return bool(self._busy())

    def _idle(self) -> _Worker[Any] | None:
        for worker in [worker for worker in self._all if worker.call is None]:
            if worker.process.is_alive():
                return worker
            self._bury(worker)
        return None

    def _bury(self, worker: _Worker[Any]) -> None:
        worker.process.join()
        worker.connection.close()
        self._all.remove(worker)

    def _start(self) -> _Worker[Any]:
        context = get_context("spawn")  # not fork: workers must not inherit open files and threads
        ours, theirs = context.Pipe()
        arguments = (theirs, self.begin, self.place)
        process = context.Process(target=_work, args=arguments, daemon=True)
        resource_tracker.ensure_running()  # if the first process started it, it would unblock the signals
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        worker = _Worker[Any](process, ours)
        self._all.append(worker)
        return worker

    def _result(self, worker: _Worker[T]) -> tuple[Callable[[], T], T | Lost]:
        call, worker.call = worker.call, None
        assert call is not None  # noqa: S101 -- it was busy
        try:
            return call, worker.connection.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return call, Lost(_death(worker.process.exitcode))

    def kill(self) -> None:
        """Kill all processes."""
        for worker in self._all:
            worker.process.kill()
        for worker in self._all:
            worker.process.join()
            worker.connection.close()
        self._all.clear()


def _death(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return KILLED_OUTSIDE
    how = f"exit code {code}" if code is None or code >= 0 else signal.Signals(-code).name
    return f"the process died ({how})"


@contextmanager
def workers(most: int, stop: Stop, begin: Callable[[], None]) -> Iterator[Workers]:
    """Provide processes while the block runs. Each calls `begin` first, which is pickled."""
    with temporary_home("nanoclaw-simulate-") as place:
        processes = Workers(most, stop, begin, place)
        try:
            yield processes
        finally:
            processes.kill()


# -- in a process ------------------------------------------------------------------


def _work(connection: "Connection[Any, Any]", begin: Callable[[], None], place: Path) -> None:
    Thread(target=_die_with_parent, args=(place,), daemon=True).start()
    live_in(place)
    begin()
    while True:
        try:
            call = connection.recv()
        except EOFError:
            return
        connection.send(_result_of(call))


def _result_of(call: Callable[[], T]) -> T | Lost:
    try:
        return call()
    except BaseException as error:  # noqa: BLE001 -- the parent handles exits, too
        return Lost(repr(error))


def _die_with_parent(place: Path) -> None:
    parent = parent_process()
    assert parent is not None  # noqa: S101 -- this is a child
    parent.join()
    shutil.rmtree(place, ignore_errors=True)
    os._exit(1)
