"""The count of disk space in trees that a hostile program has made."""

import os
from pathlib import Path

import pytest

from nanoclaw.system import disk_use
from nanoclaw.system.disk_use import Count

MIB = 1 << 20
LOTS = 1 << 40


def count(*roots: Path, enough: int = LOTS, entries: int = 100) -> Count:
    """Count to the end, in slices."""
    made = Count(roots, enough)
    while not made.go_on(entries):
        pass
    return made


def write(file: Path, size: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(os.urandom(size))


def test_files_in_all_folders_count(tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/d/e/f"):
        write(tmp_path / name, MIB)
    assert 3 * MIB <= count(tmp_path).found < 4 * MIB


def test_several_roots_count_together_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "file", MIB)
    found = count(tmp_path / "one", tmp_path / "two", tmp_path / "three").found
    assert 2 * MIB <= found < 3 * MIB


def test_a_hole_takes_no_space(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert count(tmp_path).found < MIB


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "one", MIB)
    for n in range(5):
        (tmp_path / f"link{n}").hardlink_to(tmp_path / "one")
    assert count(tmp_path).found < 2 * MIB


@pytest.mark.parametrize("target", ["/", "..", "loop", "/dev"])
def test_links_are_not_followed(tmp_path: Path, target: str) -> None:
    tree = tmp_path / "tree"
    write(tmp_path / "outside", 4 * MIB)
    tree.mkdir()
    (tree / "loop").symlink_to(target)
    assert count(tree).found < MIB


def test_a_root_that_was_replaced_by_a_link_is_not_counted(tmp_path: Path) -> None:
    write(tmp_path / "outside" / "file", 4 * MIB)
    (tmp_path / "root").symlink_to("outside")
    made = count(tmp_path / "root")
    assert (made.found, made.unread) == (0, 1)


def test_a_folder_that_becomes_a_link_during_the_count_is_not_entered(tmp_path: Path) -> None:
    write(tmp_path / "outside" / "file", 4 * MIB)
    (tmp_path / "root" / "inner").mkdir(parents=True)
    made = Count([tmp_path / "root"], LOTS)
    assert not made.go_on(1)
    (tmp_path / "root" / "inner").rmdir()
    (tmp_path / "root" / "inner").symlink_to("../outside")
    assert made.go_on(10)
    assert made.found < MIB


def test_the_count_ends_once_it_has_found_enough(tmp_path: Path) -> None:
    for n in range(20):
        write(tmp_path / str(n), MIB)
    made = count(tmp_path, enough=2 * MIB)
    assert made.full
    assert made.found < 4 * MIB


def test_pipes_sockets_and_folders_that_are_gone_do_not_hold_it_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").mkdir()
    made = Count([tmp_path], LOTS)
    while not made.go_on(1):
        if (tmp_path / "gone").exists():
            (tmp_path / "gone").rmdir()
    assert not made.full


def test_a_tree_with_too_many_files_counts_as_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_use, "MOST_ENTRIES", 50)
    for n in range(60):
        (tmp_path / str(n)).touch()
    made = count(tmp_path)
    assert made.full
    assert made.too_many == "there are more than 50 files"


def test_a_tree_that_is_too_deep_counts_as_full(tmp_path: Path) -> None:
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path)
        for _ in range(300):  # its path would be too long for one call
            Path("d" * 100).mkdir()
            os.chdir("d" * 100)
    finally:
        os.chdir(before)
        os.close(before)
    assert count(tmp_path).full


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    for n in range(30):
        write(tmp_path / str(n) / "file", 10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    count(tmp_path)
    given_up = Count([tmp_path], LOTS)
    given_up.go_on(3)
    given_up.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
