"""Reading keys: from an environment variable, a file or a command, anew at each use.

No error and no log has a value that was read, nor the output of a command.
"""

import os
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import trio

from nanoclaw.config.model import KeyConfig

MAX_KEY = 8192
"""Bytes of a key."""
COMMAND_S = 30.0
"""Seconds that a command has to print the key."""


class KeyUnavailable(Exception):
    """A key cannot be read. The text says why and what to do, and has no part of the key."""


async def read_key(key: KeyConfig) -> str:
    """Read a key. Raises KeyUnavailable."""
    if key.env is not None:
        return _checked(_from_environment(key.env).encode(errors="replace"), key)
    if key.file is not None:
        with trio.move_on_after(COMMAND_S):
            return _checked(await trio.to_thread.run_sync(_from_file, key.file, abandon_on_cancel=True), key)
        raise KeyUnavailable(f"{key} could not be read within {COMMAND_S:.0f} s; check its disk")
    return _checked(await _printed_by(key), key)


def missing(key: KeyConfig) -> str | None:
    """Return why a key cannot be read, as far as that shows without running a command; None if it can."""
    try:
        if key.env is not None:
            _checked(_from_environment(key.env).encode(errors="replace"), key)
        if key.file is not None:
            _checked(_from_file(key.file), key)
    except KeyUnavailable as error:
        return str(error)
    return None


def _from_environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value.strip():
        raise KeyUnavailable(f"the environment variable {name} is not set; set it where NanoClaw is started")
    return value


def _from_file(file: Path) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:  # `os.fdopen` would leave the descriptor of a directory open
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise KeyUnavailable(
                    f"the key's file {file} is not a regular file; name a file with the key alone"
                )
            return os.read(descriptor, MAX_KEY + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise KeyUnavailable(
            f"the key's file {file} cannot be read: {reason}; check its path and mode"
        ) from None


async def _printed_by(key: KeyConfig) -> bytes:
    """Run the command, and return what it prints."""
    process = await _started(key)
    try:
        with trio.fail_after(COMMAND_S):
            printed = await _output(process)
            if len(printed) > MAX_KEY:
                raise KeyUnavailable(f"{key} prints more than {MAX_KEY} bytes; it must print the key alone")
            code = await process.wait()
    except trio.TooSlowError:
        raise KeyUnavailable(f"{key} took longer than {COMMAND_S:g} s; run it by hand to see why") from None
    finally:
        await _end(process)
    if code != 0:
        raise KeyUnavailable(f"{key} ended with status {code}; run it by hand to see why")
    return printed


async def _started(key: KeyConfig) -> trio.Process:
    """Start the command in a process group of its own."""
    try:
        return await trio.lowlevel.open_process(
            list(key.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be started"
        raise KeyUnavailable(f"{key} cannot be started: {reason}; correct [model] key") from None


async def _end(process: trio.Process) -> None:
    """Kill the command and its children, if it still runs. What it has left behind on purpose stays."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with trio.CancelScope(shield=True):
        await process.wait()
        if process.stdout is not None:
            await trio.aclose_forcefully(process.stdout)


async def _output(process: trio.Process) -> bytes:
    printed = bytearray()
    if process.stdout is not None:
        async for chunk in process.stdout:
            printed += chunk
            if len(printed) > MAX_KEY:
                break
    return bytes(printed)


def _checked(value: bytes, key: KeyConfig) -> str:
    """Return a key without the white space around it."""
    text = value.strip()
    if not text:
        raise KeyUnavailable(f"{key} has no key: it is empty; put the key there")
    if len(text) > MAX_KEY:
        raise KeyUnavailable(f"{key} has no key: it has more than {MAX_KEY} bytes")
    if not (text.isascii() and text.decode("latin-1").isprintable()):
        raise KeyUnavailable(f"{key} has no key: a key is one line of printable ASCII characters")
    return text.decode("ascii")
