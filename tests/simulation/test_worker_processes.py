"""Processes that play: one that dies costs what it was at, and nothing else."""

import os
import signal
from multiprocessing import active_children
from multiprocessing.process import current_process

from nanoclaw.simulation.worker_processes import KILLED_OUTSIDE, Lost, stopping, workers
from nanoclaw.testing.silent_logs import silence_logs


def name() -> str:
    return current_process().name


def dies() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_a_process_that_was_killed_while_it_had_nothing_to_do_costs_nothing() -> None:
    with stopping() as stop, workers(1, stop, silence_logs) as found:
        [(_, first)] = found.results([name])
        [process] = [each for each in active_children() if each.name == first]
        process.kill()
        process.join()
        [(_, second)] = found.results([name])
        assert isinstance(second, str)
        assert second != first


def test_a_call_whose_process_is_killed_says_that_it_came_from_outside() -> None:
    with stopping() as stop, workers(1, stop, silence_logs) as found:
        assert [result for _, result in found.results([dies])] == [Lost(KILLED_OUTSIDE)]
