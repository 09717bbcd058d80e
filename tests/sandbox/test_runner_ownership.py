"""The owners and modes of a session's files under a host that runs as root."""

import os
import stat
from pathlib import Path

import pytest

from nanoclaw.runtimes import RunnerSpec, StartFailed
from nanoclaw.runtimes.mount_points import make_mount_points
from nanoclaw.runtimes.ownership import MAX_DEPTH, Handover
from nanoclaw.system.sandbox_user import SANDBOX_UID
from nanoclaw.testing.conformance import make_session

OWNER = (SANDBOX_UID, SANDBOX_UID)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
async def spec(tmp_path: Path) -> RunnerSpec:
    return await make_session(tmp_path / "home")


def owner(path: Path) -> int:
    return path.lstat().st_uid


@as_root
async def test_what_a_sandbox_writes_belongs_to_its_user(spec: RunnerSpec) -> None:
    nested = spec.workspace / "a" / "b"
    nested.mkdir(parents=True)
    (nested / "file").write_text("of root")
    os.mkfifo(spec.paths.outbound_dir / "fifo")
    Handover(OWNER).give(spec)
    places = [
        spec.workspace,
        nested,
        nested / "file",
        spec.paths.outbound_db,
        spec.paths.outbound_dir / "fifo",
    ]
    assert {owner(place) for place in places} == {SANDBOX_UID}


@as_root
async def test_what_a_sandbox_reads_stays_with_root_and_can_be_read(spec: RunnerSpec) -> None:
    inbox = spec.paths.inbox / "in-1"
    inbox.mkdir(parents=True)
    (inbox / "a.txt").write_text("of a user")
    for place in (inbox, inbox / "a.txt", spec.paths.inbound_db):
        place.chmod(0o600)
    Handover(OWNER).give(spec)
    assert {owner(place) for place in (spec.paths.inbound_dir, inbox, spec.paths.inbound_db)} == {0}
    assert stat.S_IMODE((inbox / "a.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE(inbox.stat().st_mode) == 0o655
    assert stat.S_IMODE(spec.paths.root.stat().st_mode) == 0o700


@as_root
async def test_no_link_of_an_agent_is_followed(spec: RunnerSpec, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("of root")
    for folder in (spec.workspace, spec.paths.outbound_dir):
        (folder / "to folder").symlink_to(outside)
        (folder / "to file").symlink_to(outside / "file")
    Handover(OWNER).give(spec)
    assert [owner(outside), owner(outside / "file")] == [0, 0]
    assert owner(spec.workspace / "to file") == SANDBOX_UID


@as_root
async def test_a_very_deep_tree_takes_few_descriptors(spec: RunnerSpec) -> None:
    folder = os.open(spec.workspace, os.O_RDONLY)
    for _ in range(MAX_DEPTH * 2):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    Handover(OWNER).give(spec)
    assert owner(spec.workspace / "d" / "d") == SANDBOX_UID


@as_root
async def test_files_that_root_leaves_later_are_given_at_the_next_start(spec: RunnerSpec) -> None:
    handover = Handover(OWNER)
    handover.give(spec)
    (spec.workspace / "later").write_text("of root")
    handover.give(spec)
    assert owner(spec.workspace / "later") == SANDBOX_UID


# -- mount points ------------------------------------------------------------------


async def test_mount_points_replace_what_an_agent_left_in_their_place(
    spec: RunnerSpec, tmp_path: Path
) -> None:
    outbound, outside = spec.paths.outbound_dir, tmp_path / "outside"
    (outbound / "agent").symlink_to(outside)
    (outbound / "in").write_text("a file")
    os.mkfifo(outbound / "global")
    (outbound / "gateway").mkdir()
    (outbound / "gateway" / "kept").write_text("")
    make_mount_points(outbound, ["agent", "in", "global", "gateway"], None)
    assert not outside.exists()
    for name in ("agent", "in", "global", "gateway"):
        assert stat.S_ISDIR((outbound / name).lstat().st_mode)
    assert (outbound / "gateway" / "kept").exists()


async def test_an_outbound_that_is_a_link_fails_the_start(spec: RunnerSpec, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(spec.paths.outbound_dir)
    with pytest.raises(StartFailed, match=str(link)):
        make_mount_points(link, ["agent"], None)
