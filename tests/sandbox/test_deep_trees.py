"""The host meets folders of agents that are 10,000 levels deep. Neither recursion nor paths go so far."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve

import agent_runner.trees
from nanoclaw.agents.blocked_places import Blocked
from nanoclaw.runtimes import Packages
from nanoclaw.runtimes.bubblewrap.installing import version_of
from nanoclaw.runtimes.bubblewrap.packages import PackageFolders, folder_of
from nanoclaw.runtimes.ownership import Handover
from nanoclaw.store.session import pruning
from nanoclaw.store.session.pruning import Folders
from nanoclaw.system import trees
from nanoclaw.system.descriptors import descriptors
from nanoclaw.system.disk_use import Count
from nanoclaw.testing import World
from nanoclaw.testing.conformance import make_session
from tests.deep_trees import make_deep
from tests.sandbox.isolated import isolated

GREETING = Packages(pip=("greeting",))
LATER = 4_000_000_000.0
both = pytest.mark.parametrize("remove_tree", [trees.remove_tree, agent_runner.trees.remove_tree])
Remove = Callable[[Path], None]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Return a deep folder. Whatever is left of it is removed, because pytest cannot."""
    folder = tmp_path / "deep"
    make_deep(folder)
    yield folder
    if folder.exists():
        trees.remove_tree(folder)


@contextmanager
def moved(deep: Path, to: Path) -> Iterator[None]:
    """Have the folder somewhere else."""
    to.parent.mkdir(parents=True, exist_ok=True)
    deep.rename(to)
    try:
        yield
    finally:
        if to.exists():
            to.rename(deep)


@both
def test_a_deep_folder_is_removed_with_few_descriptors(
    deep: Path, monkeypatch: pytest.MonkeyPatch, remove_tree: Remove
) -> None:
    used, opened = descriptors().used, os.open

    def counted(*args: object, **more: object) -> int:
        assert (descriptors().used or 0) <= (used or 0) + 4
        return opened(*args, **more)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(os, "open", counted)
    remove_tree(deep)
    assert not deep.exists()
    assert descriptors().used == used


@both
def test_links_are_removed_and_not_followed(tmp_path: Path, remove_tree: Remove) -> None:
    kept, folder = tmp_path / "kept", tmp_path / "folder"
    (kept / "inner").mkdir(parents=True)
    (kept / "file").touch()
    (folder / "a").mkdir(parents=True)
    for place in (folder, folder / "a"):
        (place / "link").symlink_to(kept)
        (place / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "a" / "fifo")
    remove_tree(folder)
    assert not folder.exists()
    assert [(kept / "inner").is_dir(), (kept / "file").exists()] == [True, True]
    (tmp_path / "link").symlink_to(kept)
    with pytest.raises(OSError, match=r"Not a directory|symbolic link"):
        remove_tree(tmp_path / "link")
    assert kept.is_dir()


@both
def test_folders_that_nobody_may_enter_are_removed(tmp_path: Path, remove_tree: Remove) -> None:
    (tmp_path / "x" / "closed" / "also").mkdir(parents=True)
    (tmp_path / "x" / "closed" / "also").chmod(0)
    (tmp_path / "x" / "closed").chmod(0)
    remove_tree(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_inbox_folder_is_pruned(deep: Path) -> None:
    assert pruning.remove_folders(deep.parent, Folders([], ["deep"]), LATER) == 1
    assert not deep.exists()


async def test_an_earlier_version_of_packages_is_removed(deep: Path) -> None:
    spec = await make_session(deep.parent / "home")
    folder = folder_of(spec.workspace.parent)
    folder.mkdir()
    complete = folder / version_of(GREETING)
    complete.mkdir()
    with moved(deep, folder / ".new-left"):
        assert await PackageFolders().folder_for(evolve(spec, packages=GREETING)) == complete
        assert [each.name for each in folder.iterdir()] == [complete.name]


def test_a_count_of_its_space_ends(deep: Path) -> None:
    count = Count([deep], 1 << 30)
    while not count.go_on():
        pass
    assert "nested deeper than 100 levels" in (count.too_many or "")


def test_a_search_for_secrets_ends(deep: Path) -> None:
    assert Blocked(system=()).reason(deep, deep, []) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_host_that_runs_as_root_gives_it_away_as_far_as_it_looks(deep: Path) -> None:
    spec = await make_session(deep.parent / "home")
    inside = spec.paths.outbound_dir / "deep"
    with moved(deep, inside):
        Handover((10_001, 10_001)).give(spec)
        assert (inside / "d" / "d").stat().st_uid == 10_001


@pytest.mark.world(settings={"sandbox.disk": "64M"}, seams=isolated)
async def test_a_session_with_such_a_folder_waits_says_why_and_goes_on_without_it(
    deep: Path, world: World
) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    inside = world.home / "groups" / "main" / "workspace" / "deep"
    with moved(deep, inside):
        await ann.says("hello")
        await chat.expect(re.compile("folders nested deeper than 100 levels"))
    await chat.expect(re.compile("echo: hello"), within=60)
