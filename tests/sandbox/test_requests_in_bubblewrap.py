"""What an agent in a real sandbox asks for, from the tool to what its next sandbox has."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio

from nanoclaw.host import Host
from nanoclaw.records import PendingApproval, SessionPaths
from nanoclaw.testing import FakeChannel
from tests.host.homes import rows
from tests.sandbox.hosts import sandboxed
from tests.sandbox.parcels import wheel
from tests.sandbox.test_tools_in_bubblewrap import SERVER, said

pytestmark = pytest.mark.slow

BOSS = "fake:boss"


@pytest.fixture
def files() -> Iterator[Path]:
    """Return a folder on a disk: pytest's may be in /dev/shm, which no agent is given."""
    with TemporaryDirectory(dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made).resolve()


async def approved(host: Host, answer: str) -> PendingApproval:
    """Approve the request that a tool has named, and wait for its outcome."""
    [id_] = re.findall(r"appr-[0-9a-z]+", answer)
    await host.admin.roles.grant(BOSS, "owner")
    await host.admin.approvals.decide(id_, "approved", by=BOSS)
    while (found := await host.admin.approvals.get(id_)) is None or found.told_at is None:  # noqa: ASYNC110 -- processes install packages
        await trio.sleep(0.02)
    return found


def outcome(home: Path, approval: PendingApproval) -> dict[str, Any]:
    [inbound] = home.glob("data/sessions/*/*/inbound/inbound.db")
    paths = SessionPaths(inbound.parents[1])
    sql = f"SELECT content FROM messages_in WHERE id = 'outcome-{approval.approval_id}'"  # noqa: S608 -- our own id
    [(content,)] = rows(paths.inbound_db, sql)
    found: dict[str, Any] = json.loads(content)
    return found


async def test_an_approved_package_is_in_the_next_sandbox(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(files))
    wheel(files, "greeting")
    channel = FakeChannel()
    async with sandboxed(tmp_path, channel) as host:
        approval = await approved(host, await said(channel, 1, "install_packages", pip=["greeting"]))
        assert outcome(tmp_path, approval)["result"] == {"packages": {"pip": ["greeting"]}}
        container = json.loads((tmp_path / "groups/main/container.json").read_text())
        assert container == {"packages": {"pip": ["greeting"]}}
        assert await said(channel, 2, "bash", command="greeting-version") == "1.0\n[exit code 0]"


async def test_a_package_that_does_not_exist_changes_nothing(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(files))
    channel = FakeChannel()
    async with sandboxed(tmp_path, channel) as host:
        approval = await approved(host, await said(channel, 1, "install_packages", pip=["greeting"]))
        content = outcome(tmp_path, approval)
        assert (content["decision"], content["status"]) == ("approved", "failed")
        assert "No matching distribution found for greeting" in content["result"]["error"]
        assert not (tmp_path / "groups/main/container.json").exists()
        [(text,)] = rows(tmp_path / "data/v2.db", "SELECT text FROM budget_alerts")
        assert "Packages for the agent main cannot be installed" in str(text)
        assert await said(channel, 2, "bash", command="echo on") == "on\n[exit code 0]"


async def test_an_approved_folder_is_in_the_next_sandbox(tmp_path: Path, files: Path) -> None:
    shared = files / "shared"
    shared.mkdir(mode=0o755)
    (shared / "note").write_text("tea\n")
    listed = files / "config" / "mounts.toml"
    listed.parent.mkdir(mode=0o700)
    listed.write_text(f'[[allow]]\npath = "{shared}"\n')
    listed.chmod(0o600)
    channel = FakeChannel()
    sandbox = {"runtime": "bubblewrap", "mount_allowlist": str(listed)}
    async with sandboxed(tmp_path, channel, sandbox=sandbox) as host:
        assert "lists the folders" in await said(channel, 1, "request_mount", path="/etc")
        approval = await approved(host, await said(channel, 2, "request_mount", path=str(shared)))
        assert outcome(tmp_path, approval)["result"] == {"path": "/mnt/shared", "readOnly": True}
        assert await said(channel, 3, "bash", command="cat /mnt/shared/note") == "tea\n[exit code 0]"


async def test_an_approved_server_has_its_tools_in_the_next_sandbox(tmp_path: Path) -> None:
    channel = FakeChannel()
    workspace = tmp_path / "groups" / "main" / "workspace"
    workspace.mkdir(parents=True)
    (workspace / "shouting.py").write_text(SERVER)
    async with sandboxed(tmp_path, channel) as host:
        answer = await said(
            channel,
            1,
            "add_mcp_server",
            name="loud",
            command=sys.executable,
            args=["/workspace/agent/shouting.py"],
        )
        await approved(host, answer)
        number = 2
        while "Tool server loud: 1 tool" not in await said(channel, number, "get_status"):
            number += 1
        assert await said(channel, 1000, "mcp__loud__shout", text="quack") == "QUACK"


async def test_a_turn_ends_before_its_sandbox_is_made_anew(tmp_path: Path) -> None:
    workspace, channel = tmp_path / "groups/main/workspace", FakeChannel()
    script = "echo turn >>turns; while [ ! -e go ]; do sleep 0.02; done"
    async with sandboxed(tmp_path, channel) as host, trio.open_nursery() as nursery:
        answer = await said(channel, 1, "request_rebuild")
        await channel.say(f"!bash {json.dumps({'command': script})}", event_id="2")
        await there(workspace / "turns")
        nursery.start_soon(approved, host, answer)
        while (await host.admin.approvals.list())[0].status != "approved":  # noqa: ASYNC110 -- on disk
            await trio.sleep(0.02)
        (workspace / "go").touch()
        await channel.reply_to("2")
    assert (workspace / "turns").read_text() == "turn\n", "it was neither interrupted nor repeated"


async def there(file: Path) -> None:
    while not await trio.Path(file).exists():  # noqa: ASYNC110 -- a program of the sandbox makes it
        await trio.sleep(0.02)


async def test_apt_is_refused_where_no_image_is_built(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with sandboxed(tmp_path, channel):
        assert "cannot honour packages.apt" in await said(channel, 1, "install_packages", apt=["ffmpeg"])
