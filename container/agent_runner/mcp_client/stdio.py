"""The transport to an MCP server that is a program: a JSON message a line on its stdin and stdout.

The SDK's own transport joins a line without an end in quadratic time and without a bound, hides the variables
of the proxy from the program, and leaves processes that have left its group.
"""

import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
import mcp_types
import trio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage

from agent_runner.foreign import describe
from agent_runner.mcp_client.errors import ToolServerError
from agent_runner.providers.mcp_servers import McpServer
from agent_runner.sandbox.ending import MARK, end_all
from agent_runner.sandbox.programs import end_group

CHUNK = 64 * 1024
LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of one message."""
MOST_BAD_LINES = 100
"""Lines that are no messages, such as greetings, which are passed over."""
MOST_MESSAGES, PERIOD_S = 20_000, 10.0
"""Messages within a period, after which a server is ended."""
GRACE_S = 1.0
"""Seconds to end after stdin is closed, and after SIGTERM."""
LONGEST_ERRORS = 2_000
"""Bytes of stderr that are kept: its end."""
HIDDEN = ("NANOCLAW_MODEL_", "NANOCLAW_LIFELINE", "NANOCLAW_MCP_SERVERS")
"""Beginnings of the runner's variables that servers do not get."""

Incoming = SessionMessage | Exception


@define(eq=False)
class Program:
    """A running server."""

    _process: trio.Process
    _messages: MemoryObjectSendStream[Incoming]
    _ended: Callable[[], None]
    problem: str = field(default="", init=False)
    """Why its messages are not read any more; empty if it ended by itself."""
    _errors: bytearray = field(factory=bytearray, init=False)
    _bad: int = field(default=0, init=False)
    _since: float = field(factory=trio.current_time, init=False)
    _count: int = field(default=0, init=False)

    def because(self, reason: str) -> str:
        """Return the reason of a failure, with what the program knows about it."""
        code = self._process.returncode
        ended = f"it ended with exit code {code}" if code and not self.problem else ""
        said = " ".join(self._errors.decode("utf-8", "replace").split())[-500:]
        return "; ".join(filter(None, [self.problem or ended or reason, said and f"it said: {said}"]))

    async def read(self) -> None:
        """Pass its messages on until it ends or misbehaves. Closes the stream of messages."""
        async with self._messages:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, trio.ClosedResourceError):
                try:
                    await self._read_lines()
                except ToolServerError as error:
                    self.problem = str(error)
                else:  # its exit code is part of the reason
                    with trio.move_on_after(GRACE_S):
                        await self._process.wait()
        self._ended()

    async def _read_lines(self) -> None:
        lines = _Lines()
        stdout = self._process.stdout
        while stdout is not None and (data := bytes(await stdout.receive_some(CHUNK))):
            for line in lines.add(data):
                await self._pass_on(line)

    async def _pass_on(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        except (ValueError, RecursionError):
            self._bad += 1
            if self._bad > MOST_BAD_LINES:
                raise ToolServerError(f"it wrote {self._bad} lines that are no messages") from None
            return
        self._note_one()
        await self._messages.send(SessionMessage(message))

    def _note_one(self) -> None:
        now = trio.current_time()
        if now - self._since > PERIOD_S:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > MOST_MESSAGES:
            raise ToolServerError(f"it sent more than {MOST_MESSAGES:,} messages in {PERIOD_S:.0f} s")

    async def read_errors(self) -> None:
        """Keep the end of what it writes to stderr."""
        with suppress(trio.ClosedResourceError):
            while self._process.stderr and (data := await self._process.stderr.receive_some(CHUNK)):
                self._errors += data
                del self._errors[:-LONGEST_ERRORS]

    async def write(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Send messages to it."""
        stdin = self._process.stdin
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with messages:
                async for each in messages:
                    text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                    if stdin is not None:
                        await stdin.send_all(text.encode("utf-8", "replace") + b"\n")

    async def end(self, mark: str) -> None:
        """End it, and all that it started."""
        with suppress(trio.BusyResourceError, trio.BrokenResourceError, trio.ClosedResourceError):
            if self._process.stdin is not None:
                await self._process.stdin.aclose()
        for number in (None, signal.SIGTERM):
            if number is not None and self._process.returncode is None:
                end_group(self._process, number)
            with trio.move_on_after(GRACE_S):
                await self._process.wait()
        await end_all([self._process.pid], [mark])
        await self._process.wait()


@asynccontextmanager
async def open_program(
    server: McpServer, folder: str, mark: str, ended: Callable[[], None]
) -> AsyncGenerator[tuple[Program, TransportStreams]]:
    """Start a server, and end it with the block. Raises ToolServerError if it cannot be started.

    `ended` is called when it sends no more messages.
    """
    process = await _start(server, folder, mark)
    to_us, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, to_it = anyio.create_memory_object_stream[SessionMessage](0)
    program = Program(process, to_us, ended)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.read)
        nursery.start_soon(program.read_errors)
        nursery.start_soon(program.write, to_it)
        try:
            yield program, (incoming, outgoing)
        finally:
            with trio.CancelScope(shield=True):
                await program.end(mark)
            incoming.close()
            outgoing.close()
            nursery.cancel_scope.cancel()


async def _start(server: McpServer, folder: str, mark: str) -> trio.Process:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    try:
        return await trio.lowlevel.open_process(
            [server.command, *server.args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**variables, **server.env, MARK: mark},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or describe(error)
        raise ToolServerError(f"{server.command!r} cannot be started: {reason}") from error


@define(eq=False)
class _Lines:
    """Joins chunks into lines in linear time."""

    _parts: list[bytes] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)

    def add(self, chunk: bytes) -> Sequence[bytes]:
        """Return the lines that this chunk completes. Raises ToolServerError for one that is too long."""
        first, *more = chunk.split(b"\n")
        self._parts.append(first)
        self._size += len(first)
        if self._size > LONGEST_LINE:
            raise ToolServerError(f"it sent a message of more than {LONGEST_LINE // 2**20} MiB")
        if not more:
            return ()
        done = [b"".join(self._parts), *more[:-1]]
        self._parts, self._size = [more[-1]], len(more[-1])
        return done
