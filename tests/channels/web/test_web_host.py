"""The web chat of a real host: the command that logs a browser in, and a whole round trip."""

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.channels.web.browser import Browser
from tests.cli.commands import NANOCLAW, environment

CONFIG = """
[model]
provider = "echo"

[sandbox]
runtime = "process"

[channels.http]
listen = "127.0.0.1:0"
"""


@asynccontextmanager
async def running_host(home: Path) -> AsyncIterator[None]:
    """Run `nanoclaw run --headless` until its server listens, and stop it."""
    (home / "config.toml").write_text(CONFIG)
    command = [*NANOCLAW, "--home", str(home), "run", "--headless"]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(trio.run_process, command, stderr=subprocess.PIPE, env=environment(), check=False)
        )
        with trio.fail_after(60):
            seen = b""
            async for chunk in process.stderr:
                seen += chunk
                if b"http.listening" in seen:
                    break
        try:
            yield
        finally:
            process.terminate()


async def nanoclaw(home: Path, *arguments: str) -> tuple[int, str]:
    """Run a command. Return its exit code, and its output or its errors."""
    command = [*NANOCLAW, "--home", str(home), *arguments]
    done = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, env=environment(), check=False
    )
    return done.returncode, (done.stderr if done.returncode else done.stdout).decode()


async def as_json(home: Path, *arguments: str) -> Any:
    code, output = await nanoclaw(home, *arguments, "--json")
    assert code == 0, output
    return json.loads(output)


@pytest.mark.slow
async def test_the_owner_logs_in_from_the_terminal_and_talks_to_the_assistant(
    window: Browser, tmp_path: Path
) -> None:
    async with running_host(tmp_path):
        await window.open((await as_json(tmp_path, "web"))["url"])
        await window.until("$('#app') && !$('#app').hidden")
        await window.say("good *morning*")
        await window.until("$('.message:not(.mine) .body')?.textContent.includes('echo: good')")
        [browser] = await as_json(tmp_path, "web", "list")
        assert browser["user"] == "http:owner"
        await as_json(tmp_path, "web", "revoke", browser["id"], "--yes")
        await window.script("location.reload()")
        await window.until("$('#signed-out') && !$('#signed-out').hidden")
        await window.log()
