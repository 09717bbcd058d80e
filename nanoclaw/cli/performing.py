"""Performing an operation from the command line: through the running host, else on the files."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import SystemRandom
from typing import Any

import structlog
import trio

from actors import ActorError
from nanoclaw.cli.client import NoHost, NotRunning, RequestFailed, connect
from nanoclaw.cli.first_run import prepare_home
from nanoclaw.cli.output import tell
from nanoclaw.cli.parsing import BAD_USAGE
from nanoclaw.config import Config
from nanoclaw.operations import Caller, Catalogue, Operation, OperationFailed, Operations
from nanoclaw.operations.offline import open_files
from nanoclaw.seams import SystemClock
from nanoclaw.store import Owned, StoreError, ThreadExecutor

REFUSED = 1
"""Exit code: the operation was refused, and nothing was changed."""
PATIENCE_S, LOOK_AGAIN_S = 3.0, 0.1
"""How long a host that starts or stops is waited for."""


class _HostBetween(NoHost):
    """A host owns the files, and does not listen yet, or not any more."""


async def perform(  # noqa: PLR0913 -- what to perform, and where
    config: Config,
    catalogue: Catalogue,
    operation: Operation,
    params: Mapping[str, object],
    result: list[Any],
    *,
    new: bool,
) -> int:
    """Perform an operation, and put its result into `result`; returns the exit code.

    `new`: a configuration file may be made where data is made for the first time.

    Raises:
        NoHost: there is a host, and it does not answer.
        ConfigError: the home cannot be made.
    """
    deadline = trio.current_time() + PATIENCE_S
    try:
        while not result:
            try:
                result.append(await _once(config, catalogue, operation, params, new=new))
            except _HostBetween:
                if trio.current_time() >= deadline:
                    raise
                await trio.sleep(LOOK_AGAIN_S)
    except (RequestFailed, OperationFailed) as error:
        tell(f"nanoclaw: {error}")
        return BAD_USAGE if error.code == "bad_request" else REFUSED
    return 0


async def _once(
    config: Config, catalogue: Catalogue, operation: Operation, params: Mapping[str, object], *, new: bool
) -> Any:
    try:
        return await _through_host(config, operation, params)
    except NotRunning:
        return await _on_files(config, catalogue, operation, params, new=new)


async def _through_host(config: Config, operation: Operation, params: Mapping[str, object]) -> Any:
    async with connect(config.data) as client:
        async for answer in client.results(operation.name, **params):
            if isinstance(answer, dict) and answer.get("type") == "note":
                tell(f"nanoclaw: {answer['text']}")
            else:
                return answer
    raise NoHost("the host has stopped")


async def _on_files(
    config: Config, catalogue: Catalogue, operation: Operation, params: Mapping[str, object], *, new: bool
) -> Any:
    """Own the files for the time of the operation. Where there are none, reading makes none."""
    with _silent(), _data(config, operation, new=new) as data:
        failed: OperationFailed | None = None
        try:
            async with open_files(
                data,
                config.groups,
                zone=config.timezone,
                executor=ThreadExecutor(),
                clock=SystemClock(),
                random=SystemRandom(),
            ) as ground:
                try:
                    return await Operations(catalogue, ground).perform(
                        operation.name, params, Caller.local(), lambda note: tell(f"nanoclaw: {note}")
                    )
                except OperationFailed as error:
                    failed = error
        except (ActorError, StoreError) as error:
            raise _unusable(config, error) from error
        raise failed


def _unusable(config: Config, error: BaseException) -> Exception:
    """The error for files that cannot be owned or opened."""
    while isinstance(error, ActorError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, Owned):
        holder = f"process {error.pid}" if error.pid is not None else "another process"
        return _HostBetween(
            f"{config.data}: {holder} owns it, and no host answers on its control socket; if that is a host "
            "that starts or stops, try again, else see its log"
        )
    return NoHost(str(error))


@contextmanager
def _data(config: Config, operation: Operation, *, new: bool) -> Iterator[Path]:
    """The data directory; where there is no database yet, an empty one, which reading leaves nowhere."""
    if (config.data / "v2.db").exists():
        yield config.data
    elif operation.declared.reads:
        with tempfile.TemporaryDirectory(prefix="nanoclaw-") as empty:
            yield Path(empty)
    else:
        prepare_home(config, write_config=new)
        yield config.data


@contextmanager
def _silent() -> Iterator[None]:
    """Log nothing: what goes wrong is said in one line."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop], logger_factory=structlog.ReturnLoggerFactory())
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: object, _method: str, _fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    raise structlog.DropEvent
