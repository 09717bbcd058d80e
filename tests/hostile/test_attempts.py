"""The attempts of the hostile agent succeed outside of a sandbox, so a refusal inside means something."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import trio

from tests.hostile.stage import PROGRAM, SECRET, to_reach

WITHOUT_RIGHTS = (
    "the host's loopback over IPv4",
    "the host's own addresses",
    "an abstract socket of the host",
    "the names of the host's sockets",
    "sockets in the host's folders",
    "the host's files by their paths",
    "the host's files by `..` from each mount",
    "the host's files by links",
    "files that several sandboxes could share",
    "signals to the host",
    "processes of the host in /proc",
    "new rights by a program with the setuid bit",
    "calls without a filter",
    "devices of the machine",
)
"""Attempts that succeed as any user of a usual machine, and do no harm there."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("outside")
    (home / "secret.txt").write_bytes(SECRET)

    async def outside() -> dict[str, Any]:
        async with to_reach(home) as reachable:
            own = {"files": [str(home / "secret.txt")], "sockets": [str(home / "server.sock")]}
            host = {"pid": os.getpid(), "pids": [os.getpid()], "program": "pytest", "folder": str(home)}
            (home / "facts.json").write_text(json.dumps({**reachable, **own, **host, "only": WITHOUT_RIGHTS}))
            command = [sys.executable, str(PROGRAM), str(home / "facts.json"), str(home / "results.json")]
            await trio.run_process(command, stdin=subprocess.DEVNULL)
        results: dict[str, Any] = json.loads((home / "results.json").read_text("utf-8"))
        return results

    return trio.run(outside)


@pytest.mark.parametrize("name", WITHOUT_RIGHTS)
def test_an_attempt_succeeds_outside(found: dict[str, Any], name: str) -> None:
    reached = found[name]["reached"]
    assert reached is not None, found[name]["error"]
    assert "the attempt" not in reached
