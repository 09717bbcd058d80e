"""The runtime `bubblewrap` conforms to the protocol of runtimes, with real sandboxes."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from nanoclaw.runtimes import Runner
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.testing.conformance import RuntimeUnderTest, make_session, runtime_checks
from nanoclaw.testing.conformance.runtime import CHECKS
from tests.sandbox.needed import need_bubblewrap
from tests.sandbox.seen import runner_of

NAMES = [check.__name__ for check in CHECKS]


def kill(runner: Runner) -> None:
    assert isinstance(runner, ProcessRunner)
    runner.process.kill()


def hang(runner: Runner) -> None:
    assert isinstance(runner, ProcessRunner)
    os.kill(runner_of(runner), signal.SIGSTOP)


@asynccontextmanager
async def bubblewrap(home: Path) -> AsyncIterator[RuntimeUnderTest]:
    yield RuntimeUnderTest(
        BubblewrapRuntime(grace_s=0.5),
        await make_session(home),
        grace_s=0.5,
        kill=kill,
        hang=hang,
        other=await make_session(home, session="sess-2"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
async def test_the_bubblewrap_runtime_conforms(name: str, tmp_path: Path) -> None:
    need_bubblewrap()

    def opens() -> AbstractAsyncContextManager[RuntimeUnderTest]:
        return bubblewrap(tmp_path)

    [check] = [one for one in runtime_checks(opens) if one.name == name]
    await check()
