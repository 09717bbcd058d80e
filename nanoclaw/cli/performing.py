"""Performing an operation from the command line: through the running host, or else on the files."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from functools import partial
from pathlib import Path
from secrets import SystemRandom
from typing import Any

import trio
from attrs import evolve, frozen

from actors import ActorError
from nanoclaw.approvals.catalogue import ApprovalKinds
from nanoclaw.approvals.installation import Installation
from nanoclaw.budgets.limits import rules_of
from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.cli.client import NoHost, NotListening, NotRunning, RequestFailed, connect
from nanoclaw.cli.output import tell
from nanoclaw.cli.parsing import BAD_USAGE
from nanoclaw.cli.silence import silent
from nanoclaw.config import Config, ConfigError
from nanoclaw.operations import Caller, Catalogue, Ground, Operation, OperationFailed, Operations
from nanoclaw.operations.ground import ChannelsAtRest
from nanoclaw.operations.offline import open_files, open_to_read
from nanoclaw.store import LostDatabase, Owned, StaleSidecar, StoreError, ThreadExecutor, check_file
from nanoclaw.system.clock import SystemClock
from nanoclaw.system.obstacles import advice, kind_of, printable

REFUSED = 1
"""Exit code: the operation was refused, and nothing was changed."""
PATIENCE_S, LOOK_AGAIN_S = 3.0, 0.1
"""Seconds to wait for a host that starts or stops, and seconds between attempts."""


@frozen
class Call:
    """A call of an operation. With `asks` it returns the question for a person, and changes nothing."""

    operation: Operation
    params: Mapping[str, object]
    asks: bool = False

    @property
    def reads(self) -> bool:
        """True if the call changes nothing."""
        return self.asks or self.operation.declared.reads

    def request(self) -> tuple[str, Mapping[str, object]]:
        """Return the call's method and parameters in the control protocol."""
        if self.asks:
            return "confirmation", {"operation": self.operation.name, "params": self.params}
        return self.operation.name, self.params

    async def on(self, operations: Operations) -> Any:
        """Make the call. Raises OperationFailed."""
        if self.asks:
            return await operations.question(self.operation.name, self.params, Caller.local())
        return await operations.perform(self.operation.name, self.params, Caller.local(), _note)


def _note(note: str) -> None:
    tell(f"nanoclaw: {note}")


async def perform(config: Config, catalogue: Catalogue, call: Call, result: list[Any]) -> int:
    """Make a call, and append its result to `result`; return the exit code.

    Raises:
        NoHost: a host owns the files and does not answer, or there is no home to change.
    """
    deadline = trio.current_time() + PATIENCE_S
    try:
        while not result:
            try:
                result.append(await _once(config, catalogue, call))
            except NotListening:  # the host starts or stops
                if trio.current_time() >= deadline:
                    raise
                await trio.sleep(LOOK_AGAIN_S)
    except (RequestFailed, OperationFailed) as error:
        tell(f"nanoclaw: {harmless(str(error))}")
        return BAD_USAGE if error.code == "bad_request" else REFUSED
    return 0


async def _once(config: Config, catalogue: Catalogue, call: Call) -> Any:
    try:
        return await _through_host(config, call)
    except NotRunning:
        return await _on_files(config, catalogue, call)


async def _through_host(config: Config, call: Call) -> Any:
    method, params = call.request()
    async with connect(config.data) as client, aclosing(client.results(method, **params)) as answers:
        try:
            async for answer in answers:
                if isinstance(answer, dict) and answer.get("type") == "note":
                    _note(answer["text"])
                else:
                    return answer
        except NoHost as error:
            raise NoHost(_unanswered(call.operation, reads=call.reads)) from error
    raise NoHost(_unanswered(call.operation, reads=call.reads))


def _unanswered(operation: Operation, *, reads: bool) -> str:
    if reads:
        return "the host has stopped before it answered; try again"
    return (
        f"the host has stopped before it answered, so {operation.words} may be done or not: look with "
        f"`nanoclaw {operation.noun} list`"
    )


async def _on_files(config: Config, catalogue: Catalogue, call: Call) -> Any:
    """Own the files during the call. Only `nanoclaw run` creates a home."""
    with silent(), _data(config, call) as data:
        try:
            opening = partial(open_files, approvals=ApprovalKinds.of(Installation(config, SystemClock().now)))
            return await _opened(opening, data, config, catalogue, call)
        except (ActorError, StoreError) as error:
            unusable = _unusable(config, error)
            if isinstance(unusable, NotListening) or not call.reads or _is_verdict(error):
                raise unusable from error
        try:
            result = await _opened(open_to_read, data, config, catalogue, call)
        except (ActorError, StoreError):
            raise unusable from None
        _note(f"{unusable}; it was read all the same")
        return result


async def _opened(
    opening: Callable[..., AbstractAsyncContextManager[Ground]],
    data: Path,
    config: Config,
    catalogue: Catalogue,
    call: Call,
) -> Any:
    """Make the call on files that are opened for it. A refusal leaves the actors as a value."""
    failed: OperationFailed | None = None
    async with opening(
        data,
        config.groups,
        zone=config.timezone,
        executor=ThreadExecutor(),
        clock=SystemClock(),
        random=SystemRandom(),
    ) as ground:
        operations = Operations(
            catalogue,
            evolve(ground, refusal=_refusal(config), rules=rules_of(config), channels=ChannelsAtRest(config)),
        )
        try:
            return await call.on(operations)
        except OperationFailed as error:
            failed = error
    raise failed


def _refusal(config: Config) -> Callable[[str], str | None]:
    """Return the judgement of the configured runtime on providers; none if that cannot be made."""
    from nanoclaw.runtimes import configured_runtime, why_refused  # noqa: PLC0415 -- only without a host

    try:
        return partial(why_refused, configured_runtime(config))
    except ConfigError:
        return lambda _provider: None


def _is_verdict(error: BaseException) -> bool:
    """Return True if not even a read makes sense: `v2.db` is lost, or SQLite would mix two states of it."""
    return isinstance(_innermost(error), LostDatabase | StaleSidecar)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, ActorError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _unusable(config: Config, error: BaseException) -> Exception:
    """Return the error for files that cannot be owned or opened."""
    error = _innermost(error)
    if isinstance(error, Owned):
        return NotListening(config.data, error.holder)
    return NoHost(str(error))


@contextmanager
def _data(config: Config, call: Call) -> Iterator[Path]:
    """Yield the data directory. Without a database, a call that reads gets an empty temporary one.

    Raises:
        NoHost: the database is lost or cannot be reached; or it is missing, and the call would change it.
    """
    database = config.data / "v2.db"
    if _is_there(database):
        yield config.data
        return
    try:
        check_file(database)
    except LostDatabase as error:
        raise NoHost(str(error)) from error
    except StoreError:
        pass  # a part of the path is no folder
    nothing = (
        f"there is nothing in {printable(config.data)} yet: begin with `nanoclaw run`, or correct --home"
    )
    if not call.reads:
        raise NoHost(nothing)
    _note(nothing)
    with tempfile.TemporaryDirectory(prefix="nanoclaw-") as empty:
        yield Path(empty)


def _is_there(database: Path) -> bool:
    try:
        database.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = advice(kind_of(error), database, str(error))
        raise NoHost(f"{printable(database.parent)}: {reason}") from error
    return True
