"""A hostile agent under bubblewrap troubles its own session alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from nanoclaw.config import Config
from nanoclaw.runtimes.bubblewrap.layout import interpreter
from tests.host.homes import config
from tests.hostile.stage import GUARD_S, until
from tests.hostile.troubled import READY, bears_a_storm, bears_events, bears_locks, bears_other_things
from tests.sandbox.needed import need_bubblewrap
from tests.sandbox.seen import below

PYTHON = (interpreter(), "-I")
DAEMONS = 3
"""The processes of `outlive` that have a session of their own."""

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    need_bubblewrap()
    table = {"runtime": "bubblewrap", "disk_reserve": "4M", "memory": "256M", "processes": 64}
    return config(tmp_path, sandbox=table)


async def test_locks_on_every_file_cost_its_session_alone(settings: Config) -> None:
    await bears_locks(settings, PYTHON)


async def test_a_flood_of_file_events_delays_nobody(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bears_events(settings, PYTHON, monkeypatch)


async def test_other_things_in_the_place_of_files_harm_nobody(settings: Config) -> None:
    await bears_other_things(settings, PYTHON)


async def test_a_storm_of_processes_and_memory_delays_nobody(settings: Config) -> None:
    await bears_a_storm(settings, PYTHON)


async def test_an_agent_that_detaches_itself_does_not_outlive_its_host(tmp_path: Path) -> None:
    need_bubblewrap()
    host = subprocess.Popen(  # noqa: ASYNC220 -- it starts at once
        [sys.executable, "-m", "tests.hostile.short_lived_host", str(tmp_path)], cwd=Path(__file__).parents[2]
    )
    told = tmp_path / "groups" / "main" / "workspace" / READY
    with trio.fail_after(GUARD_S):
        await until(told.exists)
        processes = [os.pidfd_open(pid) for pid in below(host.pid)[1:]]
        assert len(processes) > DAEMONS
        host.kill()
        for process in processes:
            await trio.lowlevel.wait_readable(process)
            os.close(process)
    host.wait()
    assert json.loads(told.read_text("utf-8"))["first"] == [None] * 3
