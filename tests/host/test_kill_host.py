"""The host's process is killed before and after every commit of one round trip: the message is answered."""

import shutil
import signal
import sys
from pathlib import Path

import pytest
import trio

from nanoclaw.channels.protocol import Repeat
from tests.host.homes import statuses
from tests.host.life import Network

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LIFE_S = 30.0
AT_ONCE = 3


async def life(home: Path, repeat: Repeat, kill: str) -> tuple[int, str]:
    """Run one; how it ended, and what it said."""
    command = [sys.executable, "-m", "tests.host.life", str(home), repeat, kill]
    with trio.fail_after(LIFE_S):
        done = await trio.run_process(command, cwd=ROOT, capture_stdout=True, check=False)
    return done.returncode, done.stdout.decode().strip()


async def prepared(folder: Path) -> Path:
    """A home with a wired chat, in which nobody has spoken yet."""
    home = folder / "prepared" / "home"
    assert await life(home, "again", "never") == (0, "")
    Network(home.parent / "network").append("said", "hello")
    return home


async def answered_after(prepared: Path, folder: Path, repeat: Repeat, kill: str) -> None:
    """Kill one life there, let another one follow: the message is answered as the channel's policy has it."""
    shutil.copytree(prepared.parent, folder)
    home, network = folder / "home", Network(folder / "network")
    code, _ = await life(home, repeat, kill)
    assert code == -signal.SIGKILL, kill
    code, _ = await life(home, repeat, "never")
    assert code == 0, kill
    delivered = network.delivered()
    assert {one["text"] for one in delivered} == {"echo: hello"}, kill
    assert len({one["key"] for one in delivered}) == 1, kill
    assert len(delivered) <= 2, kill
    assert network.confirmed() == ["hello"], kill
    assert statuses(home) == ["completed"], kill


@pytest.mark.parametrize(("repeat", "last"), [("again", 100), ("idempotent", 3)])
async def test_a_kill_at_any_commit_loses_no_message_and_answers_once(
    tmp_path: Path, repeat: Repeat, last: int
) -> None:
    home = await prepared(tmp_path)
    shutil.copytree(home.parent, tmp_path / "dry")
    code, counted = await life(tmp_path / "dry" / "home", repeat, "never")
    assert code == 0
    commits, limit = int(counted), trio.CapacityLimiter(AT_ONCE)

    async def one(kill: str) -> None:
        async with limit:
            await answered_after(home, tmp_path / kill, repeat, kill)

    async with trio.open_nursery() as nursery:
        for n in range(max(1, commits - last + 1), commits + 1):
            nursery.start_soon(one, f"before:{n}")
            nursery.start_soon(one, f"after:{n}")
