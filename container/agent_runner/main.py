"""The program: reads the environment, binds the real seams, and maps errors to exit codes.

0 an orderly end; 1 a failure (start it again); 2 a bad environment; 3 another runner holds the session;
4 outbound.db cannot be recovered; 5 the provider cannot be opened.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from random import SystemRandom
from typing import Literal

import trio

from agent_runner.asked import ENDING
from agent_runner.background import background
from agent_runner.config import RunnerConfig, from_environment
from agent_runner.errors import ConfigError, OwnerError, ProviderOpenError, RecoverError
from agent_runner.log import Log, to_stderr
from agent_runner.providers import Provider, load
from agent_runner.recover import recover
from agent_runner.runner import run_runner
from agent_runner.scripts.processes import ScriptProcesses
from agent_runner.seams import Seams
from agent_runner.sockets.web import open_web
from agent_runner.system import HttpxClients, SystemClock, ThreadExecutor, wakeups

Command = Literal["run", "recover"]
EXIT_CODES: Mapping[type[Exception], int] = {
    ConfigError: 2,
    OwnerError: 3,
    RecoverError: 4,
    ProviderOpenError: 5,
}
STDIN = 0


def main(
    arguments: Sequence[str],
    providers: Mapping[str, Callable[[], Provider]] | None = None,
    *,
    asked: Sequence[int] = (),
) -> int:
    """Run a command and return the exit code. `providers`, by name, take precedence over all others.

    `asked` has the signals to end that have come already (`note_signals`).
    """
    log = Log(to_stderr)
    try:
        _run(_command(arguments), log, providers or {}, asked)
    except Exception as error:  # noqa: BLE001 -- the last frame: one clear line and a code
        return _explain(error, log)
    finally:
        if sys.platform != "linux":  # there, an init process or a container does it
            _end_group()
    log("runner.stopped")
    return 0


def _end_group() -> None:
    """End the child processes that are still in this process's group, if it leads one."""
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


def _run(
    command: Command, log: Log, providers: Mapping[str, Callable[[], Provider]], asked: Sequence[int]
) -> None:
    config = from_environment(os.environ)
    if command == "recover":
        trio.run(recover, config, ThreadExecutor())
        return
    lifeline, name = _lifeline(os.environ), config.provider
    trio.run(_serve, config, lifeline, load(name, providers), log, asked)


def _explain(error: Exception, log: Log) -> int:
    log("runner.failed", level="error", error=type(error).__name__, reason=str(error))
    return EXIT_CODES.get(type(error), 1)


def _command(arguments: Sequence[str]) -> Command:
    match list(arguments):
        case []:
            return "run"
        case ["recover"]:
            return "recover"
        case _:
            raise ConfigError(f"unknown arguments {' '.join(arguments)!r}; give none, or `recover`")


def _lifeline(environ: Mapping[str, str]) -> bool:
    value = environ.get("NANOCLAW_LIFELINE", "")
    if value not in ("", "stdin") and not value.startswith("/"):  # a file is followed by agent_runner.init
        raise ConfigError(f"NANOCLAW_LIFELINE={value!r} is not known; set `stdin`, a path, or leave it out")
    return value == "stdin"


async def _serve(
    config: RunnerConfig,
    lifeline: bool,  # noqa: FBT001 -- trio.run passes by position
    provider: Provider,
    log: Log,
    asked: Sequence[int],
) -> None:
    # The receiver is closed last: a second signal must not kill a runner that finishes its commit.
    with trio.open_signal_receiver(*ENDING) as signals, trio.CancelScope() as scope:
        if asked:
            scope.cancel()
        end = partial(_cancel_on_end, scope, signals, lifeline=lifeline)
        async with background(end), open_web(config, os.environ, log):
            await run_runner(config, _seams(config, provider, log))


def _seams(config: RunnerConfig, provider: Provider, log: Log) -> Seams:
    """Return the real seams. Programs get the variables as they are now."""
    http, scripts = HttpxClients(config.model_socket), ScriptProcesses()
    return Seams(
        SystemClock(), ThreadExecutor(), wakeups(), SystemRandom(), provider, log, http=http, scripts=scripts
    )


async def _cancel_on_end(scope: trio.CancelScope, signals: AsyncIterator[int], *, lifeline: bool) -> None:
    """Cancel `scope` at a signal or at the end of stdin: a runner does not outlive its host."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_signal, scope, signals)
        if lifeline:
            nursery.start_soon(_cancel_on_eof, scope)


async def _cancel_on_signal(scope: trio.CancelScope, signals: AsyncIterator[int]) -> None:
    async for _ in signals:
        scope.cancel()


async def _cancel_on_eof(scope: trio.CancelScope) -> None:
    try:
        await trio.lowlevel.wait_readable(STDIN)
        while os.read(STDIN, 4096):
            await trio.lowlevel.wait_readable(STDIN)
    except OSError:
        pass  # stdin is a file, which cannot be waited for, so it is no lifeline
    scope.cancel()
