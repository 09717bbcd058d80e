"""The client's end of the control socket."""

import signal
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import Factory, define, field

from nanoclaw.cli.output import ReaderGone
from nanoclaw.config import ConfigError
from nanoclaw.control import wire
from nanoclaw.control.address import socket_path
from nanoclaw.system.lines import Lines
from nanoclaw.system.obstacles import Obstacle, advice, kind_of, printable
from nanoclaw.system.sockets import nameable

MAX_ANSWER = 128 * 1024 * 1024
"""Bytes of one line from the host."""
GREET_WITHIN_S = 10.0
"""Seconds after which a host that has not greeted counts as hung."""
INTERRUPTED = 130
"""Exit code: Ctrl-C."""
CHUNK = 65536


class NoHost(Exception):
    """No host answers, or it is gone. The text says what to do."""


class NotRunning(NoHost):
    """No process owns the data directory, and none listens on its control socket."""


class NotListening(NoHost):
    """A process owns the data directory, and listens on no control socket."""

    def __init__(self, data: Path, holder: str) -> None:
        found = f"{holder} owns it, and no host answers on its control socket"
        super().__init__(f"{printable(data)}: {found}; {_remedy(data)}")


def _remedy(data: Path) -> str:
    """Return what to do about a host that cannot be asked."""
    path = socket_path(data)
    with suppress(OSError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            shown = printable(path)
            return f"{shown} is not a socket: move it away, and within two minutes the host makes its own"
    return (
        "if that is a program that embeds the host, let it open the host with `open_host(control=True)`; if "
        "it is a host that starts or stops, try again, else see its log"
    )


class NotOurs(NoHost):
    """Another program answers in the place of the host. The text is for a chained error."""


class RequestFailed(Exception):
    """The host refused a request. The text is the host's own; `code` is for programs."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@define(eq=False)
class Client:
    """A connection to the host."""

    stream: trio.SocketStream
    _sending: trio.Lock = Factory(trio.Lock)
    _lines: Lines = field(
        init=False,
        default=Factory(
            lambda self: Lines(partial(self.stream.receive_some, CHUNK), MAX_ANSWER), takes_self=True
        ),
    )

    async def send(self, id_: str, method: str, /, **params: object) -> None:
        """Send a request; `receive` returns its results.

        Raises:
            NoHost: the host is gone.
        """
        request = {"v": wire.VERSION, "id": id_, "method": method, "params": params}
        try:
            async with self._sending:
                await self.stream.send_all(wire.dump(request))
        except trio.BrokenResourceError as error:
            raise NoHost("the host has stopped") from error

    async def receive(self) -> Mapping[str, Any]:
        """Return the next line of the host.

        Raises:
            NoHost: the host is gone, or this is no host.
            RequestFailed: the host reports an error that belongs to no request.
        """
        try:
            line = await anext(self._lines)
        except (StopAsyncIteration, trio.BrokenResourceError) as error:
            raise NoHost("the host has stopped") from error
        try:
            answer = wire.load(line or b"")
        except wire.RequestRefused as error:
            raise NotOurs(str(error)) from error
        if answer.get("id") is None and isinstance(answer.get("error"), dict):
            raise _failed(answer)
        return answer

    async def results(self, method: str, /, **params: object) -> AsyncGenerator[Any, None]:
        """Make one request; yield its events as they arrive, and its result last. No other may be open.

        A caller that stops before the end closes it.

        Raises:
            NoHost, RequestFailed
        """
        await self.send("1", method, **params)
        while True:
            answer = await self.receive()
            if "error" in answer:
                raise _failed(answer)
            yield answer["event"] if "event" in answer else answer["result"]
            if "result" in answer:
                return


def _failed(answer: Mapping[str, Any]) -> RequestFailed:
    error = answer["error"]
    return RequestFailed(str(error.get("message")), str(error.get("code", "")))


@asynccontextmanager
async def connect(data: Path) -> AsyncIterator[Client]:
    """Connect to the host that runs on a data directory.

    Raises:
        NotRunning: none runs.
        NotListening: the owner of the directory has no control socket.
        NoHost: what answers there is no host, or speaks another version of the protocol.
        RequestFailed: the host refuses the connection.
    """
    async with await _open(data) as stream:
        client = Client(stream)
        await _greeted(client, data)
        yield client


async def _greeted(client: Client, data: Path) -> None:
    """Read the greeting. Raises NoHost, RequestFailed."""
    try:
        with trio.fail_after(GREET_WITHIN_S):
            greeting = await client.receive()
    except trio.TooSlowError as error:
        hangs = f"the host on {data} does not answer; see its log, or stop and start it"
        raise NoHost(hangs) from error
    except NotOurs as error:
        raise NoHost(_foreign(data)) from error
    if "nanoclaw" not in greeting:
        raise NoHost(_foreign(data))
    if greeting["nanoclaw"] != wire.VERSION:
        raise NoHost(
            f"the host on {data} is nanoclaw {greeting.get('version')}, which speaks another version of "
            "the protocol; use its own `nanoclaw`, or start it again with this one"
        )


def _foreign(data: Path) -> str:
    return (
        f"{socket_path(data)}: the program that listens here is no NanoClaw host; stop it, and remove the "
        "file, or correct --data"
    )


async def _open(data: Path) -> trio.SocketStream:
    path = socket_path(data)
    try:
        with nameable(path) as name:
            return await trio.open_unix_socket(name)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise _nobody(data) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if kind_of(error) is Obstacle.DENIED:
            reason = advice(Obstacle.DENIED, path, reason)
        raise NoHost(f"{printable(path)}: cannot connect to the host: {reason}") from error


def _nobody(data: Path) -> NotRunning | NotListening:
    """Return the error for a data directory on whose socket nobody listens."""
    from nanoclaw.store import owner_of  # noqa: PLC0415 -- a client of a running host needs no store

    owner = owner_of(data)
    if owner is not None:
        return NotListening(data, owner.holder)
    return NotRunning(f"no host is running on {printable(data)}; start one with `nanoclaw run`")


async def until_signal(main: Callable[[], Awaitable[int]]) -> int:
    """Run `main` until it returns its exit code or a signal comes.

    The signals are SIGINT (Ctrl-C) and SIGTERM.

    Raises:
        NoHost, RequestFailed, ConfigError, ReaderGone: the error of `main`, unwrapped from groups.
    """
    code = INTERRUPTED
    problem: NoHost | RequestFailed | ConfigError | ReaderGone | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                await anext(signals)
                nursery.cancel_scope.cancel()

            nursery.start_soon(stop)
            try:
                code = await main()
            except (NoHost, RequestFailed, ConfigError, ReaderGone) as error:
                problem = error
            nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem
    return code
