"""With few descriptors every message is answered in the end, and no session is quarantined."""

import subprocess
import sys
from pathlib import Path

import pytest

from nanoclaw.simulation.system_limits import no_descriptor
from nanoclaw.store import StoreUnavailable
from nanoclaw.store.session.outbox import BadAttachment, copy_files
from nanoclaw.system.descriptors import Descriptors

ROOT = Path(__file__).parents[2]
LIMITS = """
import resource, subprocess, sys
from nanoclaw.system.descriptors import raise_limit, restore_limit
raise_limit()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
restore_limit(child.pid)
print(*resource.getrlimit(resource.RLIMIT_NOFILE), *resource.prlimit(child.pid, resource.RLIMIT_NOFILE))
child.communicate(b"")
"""


def test_with_few_descriptors_all_chats_are_answered_and_none_is_quarantined(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.host.starved_host", str(tmp_path / "home"), "52", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    each, answered, quarantined = done.stdout.splitlines()
    assert int(each) < 7
    assert answered == str(sorted(f"chat-{n}" for n in range(10)))
    assert quarantined == "[]"


def test_the_soft_limit_is_raised_for_the_host_and_restored_for_its_children() -> None:
    command = f"ulimit -Sn 300 && ulimit -Hn 900 && exec {sys.executable} -c '{LIMITS}'"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["900", "900", "300", "900"]


@pytest.mark.parametrize(("used", "limit", "scarce"), [(40, 64, False), (57, 64, True), (None, 64, False)])
def test_the_host_keeps_a_reserve_of_descriptors(used: int | None, limit: int, scarce: bool) -> None:  # noqa: FBT001 -- a row
    assert Descriptors(used, limit).scarce is scarce


def test_an_attachment_without_descriptors_is_not_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out-1"
    folder.mkdir()
    (folder / "a.txt").write_text("content")
    with no_descriptor(), pytest.raises(StoreUnavailable):
        copy_files(tmp_path, "out-1", ["a.txt"], tmp_path)
    assert copy_files(tmp_path, "out-1", ["a.txt"], tmp_path)[0].data == b"content"
    with pytest.raises(BadAttachment):
        copy_files(tmp_path, "out-1", ["b.txt"], tmp_path)
