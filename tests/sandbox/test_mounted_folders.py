"""Folders of the host in real sandboxes, as `mounts.toml` and `container.json` say."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from nanoclaw.runtimes.bubblewrap import layout
from nanoclaw.testing import FakeChannel
from tests.sandbox.hosts import sandboxed

pytestmark = pytest.mark.slow
LOOK = """\
cat /mnt/*/note > /workspace/agent/seen
for place in read write; do
  echo new > /mnt/$place/new && echo $place >> /workspace/agent/written
done
exec "$@"
"""
"""Notes what is in two mounts, tries to write there, and becomes the runner."""
RUNNER = (layout.interpreter(), "-P", "-m", "agent_runner")


@pytest.fixture
def files() -> Iterator[Path]:
    """Return a folder on a disk: pytest's may be in /dev/shm, which no agent is given."""
    with TemporaryDirectory(dir="/var/tmp") as made:
        for name in ("read", "write"):
            (Path(made) / name).mkdir()
            (Path(made) / name / "note").write_text(f"note of {name}\n")
            (Path(made) / name).chmod(0o777)
        Path(made).chmod(0o755)
        yield Path(made).resolve()


async def test_an_agent_reads_and_writes_in_its_mounts_as_far_as_both_files_say(
    tmp_path: Path, files: Path
) -> None:
    listed = files / "config" / "mounts.toml"
    listed.parent.mkdir(mode=0o700)
    entries = [f'[[allow]]\npath = "{files / name}"\nread_only = false\n' for name in ("read", "write")]
    listed.write_text("".join(entries))
    listed.chmod(0o600)
    agent = tmp_path / "groups" / "main"
    (agent / "workspace").mkdir(parents=True)
    (files / "link").symlink_to(files / "write")
    mounts = [
        {"source": str(files / "read"), "target": "/mnt/read"},
        {"source": str(files / "link"), "target": "/mnt/write", "readOnly": False},
    ]
    (agent / "container.json").write_text(json.dumps({"mounts": mounts}))
    channel = FakeChannel()
    command = ("/bin/sh", "-c", LOOK, "sh", *RUNNER)
    sandbox = {"runtime": "bubblewrap", "mount_allowlist": str(listed)}
    async with sandboxed(tmp_path, channel, sandbox=sandbox, runtime={"command": command}):
        await channel.say("hello", event_id="1")
        await channel.reply_to("1")
    assert (agent / "workspace" / "seen").read_text() == "note of read\nnote of write\n"
    assert (agent / "workspace" / "written").read_text() == "write\n"
    assert (files / "write" / "new").exists()
    assert not (files / "read" / "new").exists()


async def test_a_mount_that_is_not_allowed_starts_no_runner(tmp_path: Path, files: Path) -> None:
    agent = tmp_path / "groups" / "main"
    agent.mkdir(parents=True)
    mounts = [{"source": str(files / "read"), "target": "/mnt/read"}]
    (agent / "container.json").write_text(json.dumps({"mounts": mounts}))
    channel = FakeChannel()
    sandbox = {"runtime": "bubblewrap", "mount_allowlist": str(files / "none.toml")}
    async with sandboxed(tmp_path, channel, sandbox=sandbox, retry={"max_tries": 1}):
        await channel.say("hello", event_id="1")
        [told, *_] = await channel.wait_for(1)
    assert f"{files / 'none.toml'} is missing" in str(told.content)
