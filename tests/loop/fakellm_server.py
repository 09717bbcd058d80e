"""fakellm, an independent fake of both model APIs, as a process on loopback."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

RULES = """\
version: 1
defaults:
  fallback: deterministic_echo
rules:
  - name: result
    when:
      tool_result_contains: "sent as message"
    respond:
      content: "I have told them."
  - name: call
    when:
      messages_contain: "tell them"
    respond:
      tool_calls:
        - name: send_message
          arguments: {text: "dinner is ready"}
  - name: busy
    when:
      messages_contain: "are you busy"
    respond:
      status: 429
      error: "Rate limit exceeded"
  - name: greeting
    when:
      messages_contain: "hello"
    respond:
      content: "Hi there!"
"""
STARTED = re.compile(rb"running on (http://127\.0\.0\.1:\d+)")


@asynccontextmanager
async def open_fakellm(folder: Path) -> AsyncIterator[str]:
    """Serve these rules while the block runs. Yields the address, without `/v1`."""
    config = folder / "fakellm.yaml"
    config.write_text(RULES)
    command = [
        str(Path(sys.executable).with_name("fakellm")),
        "serve",
        "--port",
        "0",
        "--config",
        str(config),
    ]
    pipes = {"stderr": subprocess.STDOUT, "stdout": subprocess.PIPE}
    process = await trio.lowlevel.open_process(command, **pipes)  # type: ignore[call-overload]  # pipes
    try:
        yield await _address(process)
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()


async def _address(process: trio.Process) -> str:
    assert process.stdout is not None
    told = b""
    while (found := STARTED.search(told)) is None:
        told += await process.stdout.receive_some() or _ended(told)
    return found[1].decode()


def _ended(told: bytes) -> bytes:
    raise AssertionError(f"fakellm ended: {told.decode()}")
